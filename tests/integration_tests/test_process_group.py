"""One item by two processes with gloo on the CPU: real processes, real stages, everything tiny."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import descendants, lives
from pruning_core.config import PruningConfig, load_config
from search.backend import BackendSettings, load_backend
from search.execution.process_group import execute_together
from search.outcomes import OutcomeStatus
from search.work_items import ItemKind, WorkItem
from spaces import to_plain
from tests.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RUN: dict[str, Any] = {
    "architecture": {"name": "cifar_resnet8", "width": 0.5},
    "dataset": {"train_images": 200, "test_images": 50},
    "method": "l1",
    "budgets": {"macs": 0.5},
    "dense_training": {"epochs": 1, "batch_size": 32},
    "fine_tuning": {"epochs": 2, "batch_size": 32},
}


def settings(store: Path, **changes: Any) -> BackendSettings:
    factory = "search.stages_backend:create_backend"
    return BackendSettings(factory=factory, artifacts=str(store), num_processes=2, **changes)


def items(config: PruningConfig, used: BackendSettings) -> list[WorkItem]:
    plan = load_backend(used).plan(config)
    (dense,) = plan.stages
    trial = WorkItem(kind=ItemKind.TRIAL, name="trial", key=plan.trial_key, number=3)
    return [
        WorkItem(kind=ItemKind.STAGE, name="dense", key=dense.key, number=3),
        trial,
    ]


def test_what_goes_wrong_in_them_comes_back(tmp_path: Path) -> None:
    config, used = load_config({**RUN, "budgets": {"macs": 0.0001}}), settings(tmp_path)
    outcome = execute_together(items(config, used)[-1], to_plain(config), used)
    assert outcome.status is OutcomeStatus.INFEASIBLE
    assert "macs" in (outcome.reason or "")


def start_worker(store: Path) -> subprocess.Popen[str]:
    """Start a process that has two others train for a long time, and prints what became of that."""
    program = f"""
from tests.integration_tests.test_process_group import *
config = load_config({{**RUN, "dense_training": {{"epochs": 500, "batch_size": 32}}}})
used = settings(Path({str(store)!r}))
outcome = execute_together(items(config, used)[0], to_plain(config), used)
print(outcome.status, outcome.reason)
"""
    folder = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_is_a_failure_and_leaves_nobody_behind(tmp_path: Path) -> None:
    worker = start_worker(tmp_path)
    members = _members_of(worker.pid)
    time.sleep(5)  # they load their libraries, and may have begun
    os.kill(members[0], signal.SIGKILL)
    out, _ = worker.communicate(timeout=120)
    assert out.startswith("failed the first of the trial's 2 processes ended by SIGKILL: ")
    assert not any(lives(pid) for pid in members)


def test_processes_end_with_the_worker_that_started_them(tmp_path: Path) -> None:
    worker = start_worker(tmp_path)
    members = _members_of(worker.pid)
    worker.kill()
    worker.communicate()
    wait_for(lambda: not any(lives(pid) for pid in members), "the processes to end with their worker")


def _members_of(worker: int) -> list[int]:
    """Wait for the processes of a worker, the first of them first."""
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        ranks = {}
        for pid in descendants(worker):
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            ranks.update({one: pid for one in environment if one.startswith(b"RANK=")})
        if len(ranks) == 2:
            return [ranks[b"RANK=0"], ranks[b"RANK=1"]]
        time.sleep(0.1)
    raise AssertionError("no processes were started")
