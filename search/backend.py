"""What the search asks of whoever does the pruning: a narrow seam, so that planning can be tested without training.

Workers and the driver each make their own backend from a ``module:function``, called with `BackendSettings`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pruning_core.config import PruningConfig
from search.artifact_address import artifact_address
from search.disk import storage_errors
from search.plug_in_path import add_plug_in_path, shipped_plug_ins
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.work_items import ItemKind, PlannedStage, WorkItem

__all__ = [
    "STAGES_BACKEND",
    "BackendSettings",
    "Facts",
    "PruningBackend",
    "TrialPlan",
    "backend_settings",
    "load_backend",
    "settings_elsewhere",
    "run_with_stages",
]

STAGES_BACKEND = "search.stages_backend:create_backend"

Facts: TypeAlias = Mapping[str, str | int | float | bool | None]
"""Named plain values about the data and the dense network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendSettings:
    """Where artifacts lie and what a worker may use.

    ``factory``: ``module:function`` that makes the backend. ``artifacts``: address of finished stages. ``device``: as
    torch spells it. ``num_threads``: of one process. ``num_processes``: that share an item. ``plug_ins``: folder that
    ``module:function`` names of a spec are imported from; ``are_plug_ins_shipped``: from what the driver sent to
    this machine instead. ``seen_by_all``: a file that every machine must see, because artifacts lie in a folder that
    they share.
    """

    factory: str
    artifacts: str
    device: str = "cpu"
    num_threads: int = 1
    num_processes: int = 1
    plug_ins: str | None = None
    are_plug_ins_shipped: bool = False
    seen_by_all: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPlan:
    """What a configuration needs. ``stages``: its shared stages, parents before children."""

    trial_key: str
    stages: tuple[PlannedStage, ...]

    def key_of(self, item: WorkItem) -> str | None:
        """Return the key under which an item of the configuration leaves its results; None: there is no such stage."""
        if item.kind is ItemKind.TRIAL:
            return self.trial_key
        return next((stage.key for stage in self.stages if stage.name == item.name), None)


def settings_elsewhere(settings: BackendSettings, spec: SearchSpec, folder: StudyFolder) -> BackendSettings:
    """Return the settings for the machines of a cluster, which get the plug-ins and must see what they share.

    Raises:
        StorageError: The folder of artifacts cannot be written.
    """
    return replace(
        settings,
        plug_ins=None,
        are_plug_ins_shipped=settings.plug_ins is not None,
        seen_by_all=_seen_by_all(spec, folder),
    )


def _seen_by_all(spec: SearchSpec, folder: StudyFolder) -> str | None:
    """Return a file in the folder of artifacts or beside it; None where they lie in no folder."""
    artifacts = spec.storage.artifacts
    if artifacts is None:
        return str(folder.spec_path)
    if "://" in artifacts:
        return None
    mark = Path(artifacts) / f".shared-by-{spec.study}"
    with storage_errors(mark.parent):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return str(mark)


def backend_settings(spec: SearchSpec, folder: StudyFolder, factory: str) -> BackendSettings:
    """Return the settings by which a study's runs are made."""
    return BackendSettings(
        factory=factory,
        artifacts=artifact_address(spec, folder),
        device="cuda" if spec.resources.gpus_per_trial else "cpu",
        num_threads=spec.resources.cpus_per_trial // spec.resources.processes_per_trial,
        num_processes=spec.resources.processes_per_trial,
        plug_ins=spec.plug_ins,
    )


class PruningBackend(Protocol):
    """Plans and runs pruning runs; may keep loaded data between calls."""

    def describe(self, config: PruningConfig) -> Facts:
        """Load the data and the architecture, and say what they are; budgets do not matter.

        Raises:
            PrunefrontError: What a user must mend before anything can run.
        """

    def sweep(self) -> None:
        """Remove what killed processes left half-written; others may be at work.

        Raises:
            StorageError: No artifact can be kept.
        """

    def plan(self, config: PruningConfig) -> TrialPlan:
        """Work out a configuration's key and shared stages, without running anything."""

    def check(self, config: PruningConfig) -> None:
        """Find out, without training, whether a configuration can run.

        Raises:
            InfeasibleBudgetsError: No allowed network meets its budgets.
        """

    def has_artifact(self, key: str) -> bool:
        """Tell whether a stage is finished."""

    def run_stage(self, name: str, config: PruningConfig) -> None:
        """Run one stage, whose parents are finished, unless it is finished itself."""

    def run_rung(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        """Run everything a configuration still needs up to some epochs of its fine-tuning, and keep what it can go on
        from; return `RunResult` of the network so far as plain data.
        """

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        """Run everything a configuration still needs; return `RunResult` as plain data."""


@lru_cache(maxsize=4)
def load_backend(settings: BackendSettings) -> PruningBackend:
    """Make the backend that the settings name; once per process, so that loaded data is kept."""
    add_plug_in_path(shipped_plug_ins() if settings.are_plug_ins_shipped else settings.plug_ins)
    module, _, function = settings.factory.partition(":")
    factory: Callable[[BackendSettings], PruningBackend] = getattr(importlib.import_module(module), function)
    return factory(settings)


def run_with_stages(config: PruningConfig, backend: PruningBackend) -> Mapping[str, Any]:
    """Run a trial in this process, whichever of its shared stages are still missing first.

    Raises:
        PrunefrontError: The data or the artifact store cannot be used, or a training diverged.
    """
    for stage in backend.plan(config).stages:
        if not backend.has_artifact(stage.key):
            backend.run_stage(stage.name, config)
    return backend.run_trial(config)
