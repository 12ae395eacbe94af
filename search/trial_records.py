"""What became of a trial, as the record that reports and MLflow read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pruning_core.config import PruningConfig
from pruning_core.stage_graphs import STAGES
from reports.records import NetworkScores, RungScores, TrialRecord, TrialStatus
from search.backend import TrialPlan
from search.outcomes import ItemOutcome
from search.spec import SearchSpec
from search.studies.snapshot import AskedTrial, ReachedRung
from search.work_items import PlannedTrial

__all__ = [
    "Proposal",
    "complete_record",
    "network_scores",
    "rung_scores",
    "stopped_record",
    "unfinished_record",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A trial with its configuration and what it needs.

    ``rungs``: where it pauses, ascending, in epochs. ``note``: what its record must tell beside its scores.
    """

    asked: AskedTrial
    config: PruningConfig
    plan: TrialPlan
    rungs: tuple[int, ...] = ()
    note: str | None = None

    @property
    def done(self) -> int:
        """Epochs of the last rung that it reached; 0 before the first."""
        return max((reached.epochs for reached in self.asked.rungs), default=0)

    @property
    def planned(self) -> PlannedTrial:
        """The trial as planning sees it."""
        return PlannedTrial(
            number=self.asked.number,
            key=self.plan.trial_key,
            stages=self.plan.stages,
            done=self.done,
            until=next((epochs for epochs in self.rungs if epochs > self.done), None),
        )

    def with_rung(self, reached: ReachedRung) -> Proposal:
        """Return the trial after one more rung."""
        return replace(self, asked=replace(self.asked, rungs=(*self.asked.rungs, reached)))


def complete_record(spec: SearchSpec, proposal: Proposal, outcome: ItemOutcome) -> TrialRecord:
    """Make the record of a trial whose worker finished it; of one at a rung, as if that were its end.

    Time that other trials share, because a stage was there already, is not counted as this trial's.

    Raises:
        ValueError: A value is missing, not finite, or does not fit the others.
    """
    try:
        return _complete_record(spec, proposal, outcome)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{place}: {first['msg']}, but got {first['input']!r}" if place else str(first["msg"])
    except KeyError as error:
        problem = f"{error} is missing"
    raise ValueError(f"the worker's result is not valid: {problem}")


def stopped_record(spec: SearchSpec, proposal: Proposal, reason: str) -> TrialRecord:
    """Make the record of a trial that ends at the last rung it reached; it has no scores but those of its rungs."""
    record = _complete_record(spec, proposal, proposal.asked.rungs[-1].outcome)
    return record.model_copy(
        update={
            "status": TrialStatus.STOPPED,
            "reason": _with_note(reason, proposal),
            "scores": None,
            "constraint_values": {},
        }
    )


def rung_scores(reached: ReachedRung) -> RungScores:
    """Return what reports keep of a rung; its outcome is known to be valid."""
    result = reached.outcome.result
    assert result is not None
    shared = {name for name, stage in STAGES.items() if stage.is_shared}
    return RungScores(
        epochs=reached.epochs,
        order=reached.order,
        seconds=sum(_own_seconds(result, shared).values()),
        finished_at=reached.outcome.finished_at,
        scores=network_scores(result),
    )


def unfinished_record(
    spec: SearchSpec,
    proposal: Proposal,
    status: TrialStatus,
    *,
    reason: str | None = None,
    started_at: float | None = None,
    finished_at: float | None = None,
) -> TrialRecord:
    """Make the record of a trial without a network: it failed, it is infeasible, or it is running."""
    return TrialRecord(
        **_identity(spec, proposal),
        status=status,
        reason=_with_note(reason, proposal),
        started_at=_started_at(proposal, started_at),
        finished_at=finished_at,
    )


def _with_note(reason: str | None, proposal: Proposal) -> str | None:
    return "; it ".join(text for text in (reason, proposal.note) if text is not None) or None


def _complete_record(spec: SearchSpec, proposal: Proposal, outcome: ItemOutcome) -> TrialRecord:
    result = outcome.result or {}
    if result["trial_key"] != proposal.plan.trial_key:
        raise ValueError(
            f"the worker must run the planned trial {proposal.plan.trial_key}, but it ran "
            f"{result['trial_key']}; its data or its version of prunefront differ from the driver's"
        )
    scores = network_scores(result)
    shared = {stage.name for stage in proposal.plan.stages}
    return TrialRecord(
        **_identity(spec, proposal),
        status=TrialStatus.COMPLETE,
        reason=proposal.note,
        scores=scores,
        limits=dict(result["limits"]),
        constraint_values={
            constraint.quantity: constraint.violation(scores) for constraint in spec.parsed_constraints
        },
        kept=dict(result["kept"]),
        stage_seconds=_own_seconds(result, shared),
        cached_stages=tuple(result["cached_stages"]),
        peak_memory_mb=result["peak_memory_mb"],
        stage_peak_memory_mb=dict(result["stage_peak_memory_mb"]),
        stage_peak_gpu_memory_mb=dict(result["stage_peak_gpu_memory_mb"]),
        artifact_keys=dict(result["artifact_keys"]),
        started_at=_started_at(proposal, outcome.started_at),
        finished_at=outcome.finished_at,
    )


def network_scores(result: Mapping[str, Any]) -> NetworkScores:
    """Return the scores of a run that gave `RunResult` as plain data.

    Raises:
        ValidationError: A value is missing or not finite.
    """
    return NetworkScores(**{name: result[name] for name in NetworkScores.model_fields if name in result})


def _own_seconds(result: Mapping[str, Any], shared: Collection[str]) -> dict[str, float]:
    """Return the time per stage, without the shared stages that were there already."""
    return {
        name: seconds
        for name, seconds in result["stage_seconds"].items()
        if name not in shared or name not in result["cached_stages"]
    }


def _started_at(proposal: Proposal, otherwise: float | None) -> float | None:
    """Return when the trial's first worker began with it."""
    return proposal.asked.rungs[0].outcome.started_at if proposal.asked.rungs else otherwise


def _identity(spec: SearchSpec, proposal: Proposal) -> dict[str, Any]:
    return {
        "study": spec.study,
        "number": proposal.asked.number,
        "trial_key": proposal.plan.trial_key,
        "method": proposal.config.method.value,
        "seed": proposal.config.seed,
        "config": proposal.config.model_dump(mode="json"),
        "varied": dict(proposal.asked.values),
        "rungs": tuple(rung_scores(reached) for reached in proposal.asked.rungs),
    }
