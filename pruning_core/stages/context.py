"""What a stage is given: the run's settings, its data, and its parents' artifacts."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import StorageError
from pruning_core.progress import StepReport
from pruning_core.stage_keys import RunPlan
from pruning_core.stages.artifact_store import Artifact, ArtifactStore


@dataclass(frozen=True, kw_only=True, slots=True)
class StageContext:
    """Inputs of one stage of one run. ``report`` is told (done, total) steps of the stage. ``processes``: those that
    build this stage together. ``compiler``: of classifiers that are trained, see ``pruning_core.compiling``.
    """

    config: PruningConfig
    plan: RunPlan
    data: DataSplits
    store: ArtifactStore
    device: str
    report: StepReport
    processes: Processes = ALONE
    compiler: str | None = None

    def artifact(self, stage: str) -> Artifact:
        """Return the artifact of an earlier stage of this run.

        Raises:
            StorageError: It has not been built.
        """
        found = self.store.get(self.plan.key_of(stage))
        if found is None:
            raise StorageError(
                f"stage {stage!r} must be finished first, but {self.store.address} has no artifact "
                f"{self.plan.key_of(stage)}"
            )
        return found

    def has_stage(self, stage: str) -> bool:
        """Tell whether this run's method has a stage."""
        return any(node.name == stage for node in self.plan.nodes)
