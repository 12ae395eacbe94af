"""Rows and cards of the page: numbers as the reader sees them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Self

from reports.confidence import Interval, wilson_interval
from reports.dense import DenseNetwork
from reports.formats import accuracy_text, amount, amount_of, percent, points
from reports.front_rows import FrontRow, front_rows
from reports.fronts import StudyFront, scores_of
from reports.page_text import export_command
from reports.records import Scalar, TrialRecord
from reports.scores import NetworkScores
from reports.steps import Step
from reports.summary import suggestions

__all__ = ["DenseRow", "PageRow", "PageSuggestion", "ShownColumns", "page_rows", "page_suggestions"]

_ALWAYS_SHOWN = 7  # columns of the front's table that every study has


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownColumns:
    """Which optional columns the front's table has: those with a value in some row."""

    reconstruction: bool
    similarity: bool
    channels: bool
    memory: bool
    latency: bool
    test: bool

    @classmethod
    def of(cls, records: Sequence[TrialRecord]) -> Self:
        """Look which values some trial has."""
        scores = [scores_of(record) for record in records]
        return cls(
            reconstruction=any(s.accuracy_after_reconstruction is not None for s in scores),
            similarity=any(s.explanation_similarity is not None for s in scores),
            channels=any(record.kept for record in records),
            memory=any(s.activation_memory is not None for s in scores),
            latency=any(s.latency_ms is not None for s in scores),
            test=any(record.test is not None for record in records),
        )

    @property
    def num_columns(self) -> int:
        """Columns of the table in all."""
        return _ALWAYS_SHOWN + sum(bool(getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseRow:
    """The table's first row: the network before pruning."""

    text: str
    interval: str
    macs: int
    params: int

    @classmethod
    def of(cls, dense: DenseNetwork) -> Self:
        """Format a dense network."""
        return cls(
            text=accuracy_text(dense.accuracy, dense.num_images),
            interval=_interval_text(wilson_interval(dense.num_correct, dense.num_images)),
            macs=dense.macs,
            params=dense.params,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRow:
    """One network of the front's table, and what opens below it."""

    number: int
    accuracy_text: str
    interval_text: str
    accuracy_drop: float
    macs: int
    macs_share: float
    params: int
    params_share: float
    after_removal_text: str
    reconstruction_text: str
    similarity_text: str
    num_kept: int
    num_channels: int
    memory_text: str
    latency_text: str
    test_text: str
    step_text: str
    step_saving: str
    settings: tuple[tuple[str, str], ...]
    kept: dict[str, tuple[int, int]]
    repeats: tuple[int, ...]
    run_url: str | None
    export: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PageSuggestion:
    """One card: a network worth a look."""

    titles: tuple[str, ...]
    number: int
    scores: NetworkScores
    why: str
    url: str | None


def page_rows(front: StudyFront, numbers: Collection[int]) -> tuple[PageRow, ...]:
    """Format the front's rows with these trial numbers."""
    rows = [row for row in front_rows(front) if row.number in numbers]
    return tuple(_page_row(row, front.study.study) for row in rows)


def page_suggestions(front: StudyFront) -> tuple[PageSuggestion, ...]:
    """Format the networks worth a look."""
    return tuple(
        PageSuggestion(
            titles=item.titles,
            number=item.record.number,
            scores=scores_of(item.record),
            why=item.why,
            url=front.study.run_url(item.record.number),
        )
        for item in suggestions(front)
    )


def _page_row(row: FrontRow, study: str) -> PageRow:
    similarity, memory, latency = row.explanation_similarity, row.activation_memory, row.latency_ms
    refitted, test = row.accuracy_after_reconstruction, row.test_accuracy
    return PageRow(
        number=row.number,
        accuracy_text=accuracy_text(row.accuracy, row.num_images),
        interval_text=_interval_text(row.interval),
        accuracy_drop=row.accuracy_drop,
        macs=row.macs,
        macs_share=row.macs_share,
        params=row.params,
        params_share=row.params_share,
        after_removal_text=accuracy_text(row.accuracy_after_removal, row.num_images),
        reconstruction_text="" if refitted is None else accuracy_text(refitted, row.num_images),
        similarity_text="" if similarity is None else percent(similarity),
        num_kept=row.num_kept,
        num_channels=row.num_channels,
        memory_text="" if memory is None else amount_of("activation_memory", memory),
        latency_text="" if latency is None else amount_of("latency_ms", latency),
        test_text="" if test is None else percent(test, 2),
        step_text=_step_text(row.step),
        step_saving=_step_saving(row.step),
        settings=(("method", row.method), *_settings(row.varied)),
        kept=row.kept,
        repeats=row.repeats,
        run_url=row.run_url,
        export=export_command(study, row.number),
    )


def _settings(varied: dict[str, Scalar]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, f"{value:.6g}" if isinstance(value, float) else str(value))
        for name, value in varied.items()
        if name != "method"
    )


def _interval_text(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {percent(interval.high)}"


def _step_text(step: Step | None) -> str:
    return "" if step is None else f"{points(-step.accuracy_lost)} points"


def _step_saving(step: Step | None) -> str:
    return "" if step is None else f"to trial {step.smaller}, saves {amount(step.macs_saved)}"
