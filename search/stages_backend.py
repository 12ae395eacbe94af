"""The real backend: `pruning_core.stages` behind the seam that the search uses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from pruning_core.budgets import Budget
from pruning_core.channels import run_resources
from pruning_core.config import BudgetsConfig, DatasetConfig, PruningConfig
from pruning_core.data import DataSplits, load_data
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.stages import ArtifactStore, plan_run, preflight, run_rung, run_stage, run_trial
from search.backend import BackendSettings, Facts, PruningBackend, TrialPlan
from search.work_items import PlannedStage

__all__ = ["StagesBackend", "create_backend"]


class _Means(TypedDict):
    data: DataSplits
    store: ArtifactStore
    device: str


class StagesBackend:
    """Runs stages on one device; each data set is loaded, and each network traced, once per process.

    Args:
        settings: What the process may use.
        processes: Those that run everything together, of which this is one.
    """

    def __init__(self, settings: BackendSettings, processes: Processes = ALONE) -> None:
        self._device = settings.device
        self._store = ArtifactStore(settings.artifacts)
        self._processes = processes

    def describe(self, config: PruningConfig) -> Facts:
        """Say what the data and the dense network are."""
        data = _load_data(config.dataset)
        resources = run_resources(config)
        whole = BudgetsConfig.model_validate(dict.fromkeys(resources, Budget(share=1.0)))
        found = preflight(config.model_copy(update={"budgets": whole}), data)
        return {
            "dataset": config.dataset.name,
            "dataset.fingerprint": data.fingerprint,
            "dataset.num_classes": data.num_classes,
            "dataset.image_shape": " x ".join(map(str, data.input_shape)),
            "dataset.split_seed": config.dataset.split_seed,
            "dataset.num_train": len(data.train),
            "dataset.num_validation": len(data.validation),
            "dataset.num_test": len(data.test),
            "architecture": config.architecture.name,
            **{f"dense.{resource}": resource.shown(found.dense[resource]) for resource in resources},
            **{f"minimum.{resource}": resource.shown(found.minimum[resource]) for resource in resources},
            "num_groups": found.num_groups,
            "num_channels": found.num_channels,
        }

    def sweep(self) -> None:
        """Sweep the artifact store, after trying whether it can be used."""
        self._store.check()
        self._store.sweep()

    def plan(self, config: PruningConfig) -> TrialPlan:
        """Take the stage keys of a run."""
        plan = plan_run(config, _load_data(config.dataset).fingerprint)
        shared = [node for node in plan.nodes if node.is_shared]
        keys = {node.key for node in shared}
        stages = tuple(
            PlannedStage(
                name=node.name, key=node.key, parents=tuple(key for key in node.parents if key in keys)
            )
            for node in shared
        )
        return TrialPlan(trial_key=plan.trial_key, stages=stages)

    def check(self, config: PruningConfig) -> None:
        """Compare the budgets with what the narrowest network reaches."""
        preflight(config, _load_data(config.dataset))

    def has_artifact(self, key: str) -> bool:
        """Look into the artifact store."""
        return self._store.has(key)

    def run_stage(self, name: str, config: PruningConfig) -> None:
        """Run one stage on this process's device."""
        run_stage(name, config, **self._means(config), processes=self._processes)

    def run_rung(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        """Run the rest up to a rung on this process's device."""
        assert self._processes.count == 1, "a rung keeps the state of one process"
        return run_rung(config, epochs, **self._means(config)).to_plain()

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        """Run the rest on this process's device."""
        return run_trial(config, **self._means(config), processes=self._processes).to_plain()

    def _means(self, config: PruningConfig) -> _Means:
        return {
            "data": _load_data(config.dataset),
            "store": self._store,
            "device": self._device,
        }


def create_backend(settings: BackendSettings) -> StagesBackend:
    """Make the backend of one process, with as many threads as a trial may use."""
    torch.set_num_threads(settings.num_threads)
    return StagesBackend(settings)


@lru_cache(maxsize=2)
def _load_data(config: DatasetConfig) -> DataSplits:
    return load_data(config)


if TYPE_CHECKING:
    _: PruningBackend = StagesBackend(BackendSettings(factory="", artifacts=""))
