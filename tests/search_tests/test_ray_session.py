from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune.trainable import function_trainable

from pruning_core.config import PruningConfig
from pruning_core.errors import LostProcessError
from search.backend import BackendSettings
from search.execution.ray_searcher import RaySearcher
from search.execution.ray_session import (
    Interrupts,
    _remove_left_behind,
    local_ray,
    run_items,
    worker_environment,
)
from search.outcomes import ItemOutcome, OutcomeStatus
from search.work_items import ItemKind, WorkItem
from tests.search_tests.synthetic_backend import SyntheticBackend
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


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
    assert (
        worker_environment(2).items()
        >= {
            "OMP_NUM_THREADS": "2",
            "MKL_NUM_THREADS": "2",
            "OMP_WAIT_POLICY": "PASSIVE",
        }.items()
    )


def test_tune_waits_for_the_end_of_an_item_before_it_hands_out_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that it does not see end costs the next one, of which nobody hears again."""
    session = SlowSession()
    monkeypatch.setattr(function_trainable, "get_session", lambda: session)
    for name, value in worker_environment(1).items():
        monkeypatch.setenv(name, value)
    function_trainable.FunctionTrainable.reset_config(None, {})  # type: ignore[arg-type, no-untyped-call]
    assert session.waited == [600]


class SlowSession:
    """Of an item whose thread does not end."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.training_thread = self

    def finish(self, timeout: float) -> None:
        self.waited.append(timeout)

    def is_alive(self) -> bool:
        return True


def test_processes_of_ray_that_do_not_come_up_are_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(**_: object) -> None:
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr("ray.init", time_out)
    environment = worker_environment(1)
    with (
        pytest.raises(
            LostProcessError, match=r"did not come up \(The current node timed out during startup\.\)"
        ),
        local_ray(num_cpus=1, use_gpus=False, environment=environment),
    ):
        pass


def test_folders_of_killed_drivers_are_removed_and_others_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"pf-abc-{ended.pid}-x", f"pf-abc-{os.getpid()}-x", f"pf-other-{ended.pid}-x", "pf-abc-notes-x"]
    for name in names:
        (tmp_path / name).mkdir()
    _remove_left_behind(tmp_path, "pf-abc-")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


BREAKS_GPU = 77
ASSERTED = "CUDA error: device-side assert triggered"


class FragileGpuBackend(SyntheticBackend):
    """One configuration breaks the GPU for its process, as a failed assertion in a kernel does."""

    def __init__(self, settings: BackendSettings) -> None:
        super().__init__(settings)
        self._is_broken = False

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        if config.seed == BREAKS_GPU:
            self._is_broken = True
            vars(torch.cuda).update(is_initialized=lambda: True, synchronize=_answer_with_an_error)
        if self._is_broken:
            _answer_with_an_error()
        return super().run_trial(config)


def create(settings: BackendSettings) -> FragileGpuBackend:
    return FragileGpuBackend(settings)


def _answer_with_an_error(*_: object) -> None:
    raise RuntimeError(ASSERTED)


class Ends(SyntheticSearch):
    """Keeps how items ended, in order."""

    ends: list[tuple[WorkItem, ItemOutcome]]

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        self.ends.append((item, outcome))


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_that_broke_its_gpu_is_replaced_and_no_other_item_suffers(tmp_path: Path) -> None:
    seeds = [1, BREAKS_GPU, 2, 3, 4]
    spec = make_spec(
        search={"seed": {"choices": seeds}},
        first=[{"seed": seed} for seed in seeds],
        limits={"trials": len(seeds), "max_failures": 0},
    )
    search = Ends(spec, make_folder(tmp_path, spec), slots=1)
    search.ends = []
    settings = BackendSettings(
        factory=f"{__name__}:create", artifacts=str(search.folder.artifacts_path), device="cuda"
    )
    with local_ray(num_cpus=1, use_gpus=False, environment=worker_environment(1)) as folder:
        searcher = RaySearcher(search.proposer, settings, slots=1, folder=folder, max_failures=0)
        run_items(
            searcher,
            slots=1,
            resources={"cpu": 1},
            folder=folder,
            on_step=searcher.check,
            on_death=searcher.note_death,
            max_failures=0,
        )
    trials = [outcome for item, outcome in search.ends if item.kind is ItemKind.TRIAL]
    assert [outcome.status for outcome in trials] == [
        OutcomeStatus.FAILED if seed == BREAKS_GPU else OutcomeStatus.COMPLETE for seed in seeds
    ]
    assert trials[1].reason == f"RuntimeError: {ASSERTED}"
    first, broken, *later = (outcome.pid for outcome in trials)
    assert first == broken, "a sound process is kept"
    assert len(set(later)) == 1
    assert later[0] != broken
    assert len(search.ends) == len(search.handed_out), "nothing ran twice"
