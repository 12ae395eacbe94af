"""Finish several runs side by side in processes that share one artifact store.

One small network leaves most of a large GPU idle. The stages that runs share are built once: a stage is handed out
when its parents lie in the store. Processes write artifacts only; what is told of the runs is for the caller to write.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from pruning_core.config import DatasetConfig, PruningConfig
from pruning_core.data import DataSplits, load_data
from pruning_core.stage_keys import RunPlan, StageNode
from pruning_core.stages import ArtifactStore, run_stage

Name = TypeVar("Name", bound=Hashable)
BuildStage = Callable[[str, PruningConfig], object]
"""Name of a stage and its run; puts its artifact into the store."""


def finish_side_by_side(
    runs: Mapping[Name, PruningConfig],
    plans: Mapping[Name, RunPlan],
    store: ArtifactStore,
    pool: Executor,
    build: BuildStage,
) -> Iterator[Name]:
    """Build all stages that are missing; yield the name of each run once its last stage lies in the store.

    Args:
        runs: By name.
        plans: Their stages, by the same names.
        store: Where stages are looked for; ``build`` must put them there.
        pool: Where stages are built, as many at a time as it has workers.
        build: Called in the pool.

    Raises:
        PrunefrontError: What a stage refuses; what the other workers had begun is finished first.
    """
    waiting = dict(runs)
    missing = _missing_stages(runs, plans, store)
    running: dict[Future[object], str] = {}
    try:
        while waiting:
            for name in [name for name in waiting if store.has(plans[name].trial_key)]:
                del waiting[name]
                yield name
            for key, (node, config) in list(missing.items()):
                if all(store.has(parent) for parent in node.parents):
                    running[pool.submit(build, node.name, config)] = key
                    del missing[key]
            assert running or not waiting, "a stage waits for parents that nobody builds"
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                del running[done]
                done.result()
    finally:
        for future in running:
            future.cancel()


def _missing_stages(
    runs: Mapping[Name, PruningConfig], plans: Mapping[Name, RunPlan], store: ArtifactStore
) -> dict[str, tuple[StageNode, PruningConfig]]:
    """Return each stage that has to be built once, by key, in the order of the runs."""
    missing: dict[str, tuple[StageNode, PruningConfig]] = {}
    for name, config in runs.items():
        for node in plans[name].nodes:
            if not store.has(node.key):
                missing.setdefault(node.key, (node, config))
    return missing


@contextmanager
def stage_pool(
    workers: int, dataset: DatasetConfig, store: Path, *, device: str, threads: int
) -> Iterator[tuple[Executor, BuildStage]]:
    """Start processes that build stages on one device, and return them with what to submit."""
    context = multiprocessing.get_context("spawn")  # a process with CUDA cannot be forked
    with ProcessPoolExecutor(
        workers, context, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        yield pool, _StageBuilder(dataset, store, device)


class _StageBuilder:
    """Builds a stage in whichever process it is sent to, which reads the data once."""

    def __init__(self, dataset: DatasetConfig, store: Path, device: str) -> None:
        self._dataset, self._store, self._device = dataset, store, device

    def __call__(self, name: str, config: PruningConfig) -> Any:
        data = _read_once(self._dataset)
        return run_stage(name, config, data=data, store=ArtifactStore(self._store), device=self._device)


@lru_cache(maxsize=1)
def _read_once(dataset: DatasetConfig) -> DataSplits:
    return load_data(dataset)
