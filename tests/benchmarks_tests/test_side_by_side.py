"""Runs that are finished side by side: what is built, in which order, and what an error leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.side_by_side import finish_side_by_side
from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import StorageError
from pruning_core.stage_keys import plan_run
from pruning_core.stages import Artifact, ArtifactStore

RUNS: dict[str, PruningConfig] = {
    "gates": load_config({}),
    "l1": load_config({"method": "l1"}),
    "gates, other seed": load_config({"seed": 1}),
    "other dense network": load_config({"method": "l1", "dense_seed": 1}),
}
PLANS = {name: plan_run(config, "data") for name, config in RUNS.items()}


class Builder:
    """Puts empty artifacts into the store, and refuses to build a stage without its parents, or twice."""

    def __init__(self, store: ArtifactStore, failing: str = "") -> None:
        self.store, self.failing = store, failing
        self.built: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, name: str, config: PruningConfig) -> None:
        (node,) = [node for node in plan_run(config, "data").nodes if node.name == name]
        with self._lock:
            assert node.key not in self.built
            self.built.append(node.key)
        assert all(self.store.has(parent) for parent in node.parents)
        if name == self.failing:
            raise StorageError(f"{name} must have room")
        self.store.put(node.key, Artifact())


@pytest.mark.parametrize("workers", [1, 3])
def test_every_stage_is_built_once_and_every_run_is_told_of_when_it_is_finished(
    workers: int, tmp_path: Path
) -> None:
    build = Builder(ArtifactStore(tmp_path))
    finished: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for name in finish_side_by_side(RUNS, PLANS, build.store, pool, build):
            assert build.store.has(PLANS[name].trial_key)
            finished.append(name)
    assert sorted(finished) == sorted(RUNS)
    assert set(build.built) == {node.key for plan in PLANS.values() for node in plan.nodes}


def test_finished_runs_come_first_and_need_no_worker(tmp_path: Path) -> None:
    build = Builder(ArtifactStore(tmp_path))
    for node in PLANS["l1"].nodes:
        build.store.put(node.key, Artifact())
    with ThreadPoolExecutor(1) as pool:
        names = finish_side_by_side(RUNS, PLANS, build.store, pool, build)
        assert next(names) == "l1"
        assert build.built == []
        assert sorted(names) == sorted({*RUNS} - {"l1"})


def test_a_stage_that_fails_ends_the_runs_with_its_error(tmp_path: Path) -> None:
    build = Builder(ArtifactStore(tmp_path), failing="allocate")
    with ThreadPoolExecutor(2) as pool, pytest.raises(StorageError, match="allocate must have room"):
        list(finish_side_by_side(RUNS, PLANS, build.store, pool, build))
