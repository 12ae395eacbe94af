"""The front as plain rows, for terminals and pages; loads neither pandas nor plotly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.confidence import Interval, wilson_interval
from reports.fronts import StudyFront, find_front, objective_values, scores_of
from reports.records import Scalar, StudyRecords, TrialRecord
from reports.steps import Step, front_steps

__all__ = ["FrontRow", "front_rows"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontRow:
    """One network of the front; accuracies and shares in [0, 1], all on validation images except the test accuracy.

    ``interval``: of the accuracy, 95 %. ``accuracy_drop``: dense minus slim. ``repeats``: other trials with equal
    objective values. ``step``: to the next smaller network, None for the last one and for those that are on
    the front for their params alone.
    """

    number: int
    method: str
    num_images: int
    accuracy: float
    interval: Interval
    accuracy_dense: float
    accuracy_after_removal: float
    accuracy_after_reconstruction: float | None
    accuracy_drop: float
    macs: int
    macs_share: float
    params: int
    params_share: float
    explanation_similarity: float | None
    latency_ms: float | None
    activation_memory: int | None
    test_accuracy: float | None
    num_kept: int
    num_channels: int
    varied: dict[str, Scalar]
    kept: dict[str, tuple[int, int]]
    repeats: tuple[int, ...]
    step: Step | None
    run_url: str | None


def front_rows(study: StudyRecords | StudyFront) -> tuple[FrontRow, ...]:
    """Return the front, most MACs first, each set of equal networks once."""
    front = study if isinstance(study, StudyFront) else find_front(study)
    steps = {step.larger: step for step in front_steps(front)}
    twins: dict[tuple[float, ...], list[int]] = {}
    for member in front.members:
        twins.setdefault(objective_values(member, front.study.objectives), []).append(member.number)
    return tuple(
        _front_row(
            record,
            repeats=twins[objective_values(record, front.study.objectives)],
            step=steps.get(record.number),
            run_url=front.study.run_url(record.number),
        )
        for record in front.points
    )


def _front_row(
    record: TrialRecord, *, repeats: Iterable[int], step: Step | None, run_url: str | None
) -> FrontRow:
    scores = scores_of(record)
    return FrontRow(
        number=record.number,
        method=record.method,
        num_images=scores.num_images,
        accuracy=scores.accuracy,
        interval=wilson_interval(scores.num_correct_fine_tuned, scores.num_images),
        accuracy_dense=scores.accuracy_dense,
        accuracy_after_removal=scores.accuracy_after_removal,
        accuracy_after_reconstruction=scores.accuracy_after_reconstruction,
        accuracy_drop=scores.accuracy_drop,
        macs=scores.macs,
        macs_share=scores.macs_share,
        params=scores.params,
        params_share=scores.params_share,
        explanation_similarity=scores.explanation_similarity,
        latency_ms=scores.latency_ms,
        activation_memory=scores.activation_memory,
        test_accuracy=None if record.test is None else record.test.accuracy,
        num_kept=record.num_kept,
        num_channels=record.num_channels,
        varied=dict(record.varied),
        kept=dict(record.kept),
        repeats=tuple(number for number in sorted(repeats) if number != record.number),
        step=step,
        run_url=run_url,
    )
