from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search.execution.ray_session import Interrupts, _remove_left_behind, worker_environment


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_kept_for_a_safe_point(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), number)
        assert interrupts.signal == number
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_a_second_signal_ends_at_once() -> None:
    with Interrupts():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_workers_do_not_spin_while_they_wait() -> None:
    assert worker_environment(2) == {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def test_folders_of_killed_drivers_are_removed_and_others_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"pf-abc-{ended.pid}-x", f"pf-abc-{os.getpid()}-x", f"pf-other-{ended.pid}-x", "pf-abc-notes-x"]
    for name in names:
        (tmp_path / name).mkdir()
    _remove_left_behind(tmp_path, "pf-abc-")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
