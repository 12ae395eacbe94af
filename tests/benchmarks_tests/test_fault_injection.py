"""The benchmark of disturbed searches: faults are dealt out whole, and what is wrong is counted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.fault_injection import compare, front_of, plan_searches, trials_of
from benchmarks.fault_injection_page import render
from benchmarks.faults import FAULTS, Driver, descendants
from reports.records import TrialStatus
from search.studies.records import read_study
from tests.reports_tests.synthetic import make_record
from tests.search_tests.stored_studies import SPEC, store_study


def test_every_fault_is_dealt_and_those_that_need_a_place_of_their_own_get_one() -> None:
    dealt = list(plan_searches(40, list(FAULTS)))
    assert [seed for seed, _ in dealt] == list(range(len(dealt)))
    counts = Counter(kind for _, kinds in dealt for kind in kinds)
    assert sum(counts.values()) == 40
    assert max(counts.values()) - min(counts.values()) <= 1
    for alone in ("disk full", "MLflow server killed", "PostgreSQL restarted"):
        assert all(set(kinds) == {alone} for _, kinds in dealt if alone in kinds)


def test_a_lost_and_a_changed_trial_are_counted(tmp_path: Path) -> None:
    text = SPEC.replace("study: tiny", "study: disturbed")
    records = [make_record(0), make_record(1), make_record(2, status=TrialStatus.RUNNING)]
    folder = store_study(tmp_path, records, text=text)
    folder.timeline_path.write_text("")
    study = read_study(folder)
    reference = trials_of(study) | {1: trials_of(study)[0], 3: trials_of(study)[0]}
    found = compare(folder.root, reference, front_of(study))
    assert (found["lost"], found["additional"], found["different"], found["running"]) == (1, 0, 1, 1)
    assert found["front_is_the_same"]
    assert any(line.startswith("mlflow: trials 0 and 1: no run") for line in found["doctor"])


def test_with_halving_only_trials_that_ended_alike_are_compared(tmp_path: Path) -> None:
    text = SPEC.replace("study: tiny", "study: disturbed")
    stopped = make_record(1, status=TrialStatus.STOPPED)
    folder = store_study(tmp_path, [make_record(0), stopped, make_record(2)], text=text)
    folder.timeline_path.write_text("")
    found_trials = trials_of(read_study(folder))
    status, key, scores = found_trials[2]
    reference = {
        0: found_trials[0],
        1: ("complete", *found_trials[1][1:]),
        2: (status, key, {**scores, "num_correct_fine_tuned": 0}),
    }
    found = compare(folder.root, reference, [0, 1, 2], "promotion")
    assert (found["lost"], found["additional"], found["compared"], found["different"]) == (0, 0, 2, 1)


def test_the_page_adds_up_what_was_found() -> None:
    found: dict[str, Any] = {
        **dict.fromkeys(("lost", "additional", "compared", "different", "running", "run_twice"), 1),
        "front_is_the_same": True,
        "doctor": ["log: torn"],
    }
    one = {"fault": "Ctrl-C", "seed": 0, "in_time": True, "ended_trials": 1, "exit_status": 130}
    late = {**one, "fault": "driver killed", "in_time": False, "exit_status": 0}
    faults = [one, one, one, late]
    page = render([{"faults": faults, "found": found}] * 2, "--kills 6", "a machine")
    assert "| Ctrl-C | 6 |" in page
    assert "| **all** | **6** in 2 searches |" in page
    assert "driver killed" not in page, "the search was over"
    assert "| trials lost | 2 |" in page
    assert "| searches with the front of the undisturbed one | 2 of 2 |" in page
    assert "- log: torn" in page
    assert "| 0 | Ctrl-C (1), Ctrl-C (1), Ctrl-C (1) |" in page


def test_the_page_says_what_halving_leaves_to_compare() -> None:
    found: dict[str, Any] = {
        **dict.fromkeys(("lost", "additional", "different", "running", "run_twice"), 0),
        **{"compared": 5, "front_is_the_same": False, "doctor": []},
    }
    one = {"fault": "Ctrl-C", "seed": 0, "in_time": True, "ended_trials": 1, "exit_status": 130}
    page = render(
        [{"faults": [one], "found": found}], "--kills 1 --halving promotion", "a machine", "promotion"
    )
    assert "Halving by `promotion`" in page
    assert "of 5 that were trained to the end undisturbed, too | 0 |" in page
    assert "front of the undisturbed" not in page


def test_descendants_are_found_through_several_generations() -> None:
    command = (sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '30'])")
    with subprocess.Popen(command) as process:
        try:
            while len(found := descendants(os.getpid())) < 2 or not descendants(process.pid):
                pass
            assert {process.pid, *descendants(process.pid)} <= set(found)
        finally:
            for pid in descendants(process.pid):
                os.kill(pid, 9)
            process.kill()


def test_a_fault_that_finds_nothing_to_kill_does_not_count(tmp_path: Path) -> None:
    driver = Driver(("--help",), tmp_path, tmp_path / "log", None)
    assert driver.wait(60) == 0
    for kind in ("worker killed", "MLflow writer killed", "node killed"):
        assert not FAULTS[kind](driver, random.Random(0))


def test_a_driver_heeds_ctrl_c_also_where_the_benchmark_runs_in_the_background(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # so a shell starts what ends with "&"
    try:
        driver = Driver(("--help",), tmp_path, tmp_path / "log", None)
        status = Path(f"/proc/{driver.process.pid}/status").read_text(encoding="utf-8")
        assert driver.wait(60) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    assert not int(ignored, 16) & 1 << (signal.SIGINT - 1)
