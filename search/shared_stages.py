"""The shared stages of a search, as its proposer sees them: built, being built, or not to be had."""

from __future__ import annotations

from collections import Counter

from pruning_core.errors import FailedStageError
from search.backend import PruningBackend, TrialPlan
from search.outcomes import ItemOutcome, OutcomeStatus
from search.search_plan import draw_configurations
from search.spec import SearchSpec
from search.work_items import WorkItem

__all__ = ["SharedStages"]

_NUM_DRAWS = 64


class SharedStages:
    """Keeps track of the stages that trials need.

    ``built`` and ``building`` are keys of stages.

    Args:
        spec: Of the search; ``limits.memory_retries`` is how often a stage that ran out of memory is built again.
        backend: Knows what is built, and which stages configurations need.
    """

    def __init__(self, spec: SearchSpec, backend: PruningBackend) -> None:
        self._spec = spec
        self._backend = backend
        self.built: set[str] = set()
        self.building: set[str] = set()
        self._broken: dict[str, str] = {}
        self._num_retries: Counter[str] = Counter()

    def find_built(self, plan: TrialPlan) -> None:
        """Look up which stages of a trial exist already."""
        self.built.update(
            stage.key
            for stage in plan.stages
            if stage.key not in self.built and self._backend.has_artifact(stage.key)
        )

    def finish(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """Take in what became of a stage. One that ran out of memory may be built again: others may have used it.

        Raises:
            FailedStageError: It failed, and every configuration of the search needs it.
        """
        self.building.discard(item.key)
        if outcome.status is OutcomeStatus.COMPLETE:
            self.built.add(item.key)
            return
        if (
            outcome.status is OutcomeStatus.NO_MEMORY
            and self._num_retries[item.key] < self._spec.limits.memory_retries
        ):
            self._num_retries[item.key] += 1
            return
        if self._is_needed_by_all(item.key):
            raise FailedStageError(
                f"shared stage {item.name!r} must be built, as every configuration of this search needs it, but it "
                f"failed: {outcome.reason}; mend that and type `prunefront resume {self._spec.study}`, or launch "
                "another study with other settings"
            )
        self._broken[item.key] = f"shared stage {item.name!r} failed: {outcome.reason}"

    def why_broken(self, plan: TrialPlan) -> str | None:
        """Say why a trial cannot run; None if none of its stages has failed."""
        return next((self._broken[stage.key] for stage in plan.stages if stage.key in self._broken), None)

    def _is_needed_by_all(self, key: str) -> bool:
        plans = map(self._backend.plan, draw_configurations(self._spec, _NUM_DRAWS))
        return all(any(stage.key == key for stage in plan.stages) for plan in plans)
