"""What a study found, in words and few figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.confidence import wilson_interval
from reports.dense import dense_networks
from reports.formats import accuracy_text, amount, counted, percent, slim_accuracy
from reports.fronts import StudyFront, scores_of
from reports.picks import Pick, pick
from reports.records import StudyRecords, TrialRecord, TrialStatus
from reports.roles import most_accurate, smallest

__all__ = [
    "ReasonCount",
    "StageTotal",
    "StatusCount",
    "Suggestion",
    "dense_sentence",
    "headline",
    "reason_counts",
    "rung_counts",
    "stage_totals",
    "status_counts",
    "suggestions",
    "uncertainty",
]

_STATUS_MEANINGS = {
    TrialStatus.COMPLETE: "finished; compared with each other below",
    TrialStatus.STOPPED: "ended early as not promising; never on the front",
    TrialStatus.INFEASIBLE: "no allowed network meets the budgets; nothing was trained",
    TrialStatus.FAILED: "broke with an error; never proposed again",
    TrialStatus.RUNNING: "not finished when this page was written",
}
_MOST_NUMBERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A network worth a look: under which titles, and why in one sentence."""

    titles: tuple[str, ...]
    record: TrialRecord
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusCount:
    """How many trials ended in one way, and what that means."""

    status: TrialStatus
    count: int
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonCount:
    """How many trials ended for one reason; ``examples`` lists the first of their numbers."""

    reason: str
    count: int
    examples: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTotal:
    """Time spent in one stage by all trials, its share of all time, and how often it ran or was found finished.

    A stage that trials share and none of them ran has no seconds. ``peak_memory_mb``: the largest of all trials, of the
    GPU where one was used; None if unknown.
    """

    stage: str
    seconds: float
    share: float
    num_computed: int
    num_reused: int
    peak_memory_mb: float | None


def headline(front: StudyFront) -> str:
    """Say what the study found in one sentence."""
    study = front.study
    if not front.points:
        running = sum(record.status is TrialStatus.RUNNING for record in study.records)
        if not study.records:
            return "Nothing has been run yet."
        if running:
            return f"No network is finished yet; {counted(running, 'trial')} running."
        return f"No network came out of {counted(len(study.records), 'trial')}."
    if len(front.points) == 1:
        scores = scores_of(front.points[0])
        return f"One network on the front: {slim_accuracy(scores)} at {percent(scores.macs_share, 0)} of the FLOPs."
    best, least = scores_of(most_accurate(front)), scores_of(smallest(front))
    return (
        f"{len(front.points):,} networks on the front: from {slim_accuracy(best)} at {percent(best.macs_share, 0)} of "
        f"the FLOPs to {slim_accuracy(least)} at {percent(least.macs_share, 0)}."
    )


def dense_sentence(study: StudyRecords) -> str:
    """Say what the slim networks are compared with; empty before any network is measured."""
    dense = dense_networks(study)
    if not dense:
        return ""
    network = dense[0]
    cost = f"{amount(network.macs)} FLOPs (MACs) and {amount(network.params)} params"
    accuracy = accuracy_text(network.accuracy, network.num_images)
    if len(dense) > 1:
        return f"The largest of the {len(dense)} dense networks reaches {accuracy} with {cost}."
    return f"The dense network reaches {accuracy} with {cost}."


def uncertainty(front: StudyFront) -> float | None:
    """Return the widest half-width of the front's 95 % intervals; None without a front."""
    widths = [
        wilson_interval(scores.num_correct_fine_tuned, scores.num_images).half_width
        for scores in map(scores_of, front.points)
    ]
    return max(widths, default=None)


def suggestions(front: StudyFront) -> tuple[Suggestion, ...]:
    """Return up to four networks worth a look; one that is so for several reasons comes once, with all titles."""
    if not front.points:
        return ()
    found: list[tuple[str, TrialRecord, str]] = []
    found.append(("Most accurate", most_accurate(front), "The highest validation accuracy of the study."))
    lossless = [record for record in front.points if _is_as_good_as_dense(record)]
    if lossless:
        cheapest = min(lossless, key=lambda record: (scores_of(record).macs, record.number))
        images = f"{scores_of(cheapest).num_images:,}"
        found.append(
            (
                "No measurable loss",
                cheapest,
                f"The smallest that {images} images cannot tell from the dense one.",
            )
        )
    knee = pick(front, "knee")
    if isinstance(knee, Pick) and len(front.points) > 2:
        found.append(
            ("Balanced", knee.record, "The knee: larger ones gain little on it, smaller ones lose much.")
        )
    found.append(("Smallest", smallest(front), "The fewest FLOPs (MACs) of the front."))
    merged: dict[int, Suggestion] = {}
    for title, record, why in found:
        before = merged.get(record.number)
        titles, sentence = (before.titles, before.why) if before else ((), why)
        merged[record.number] = Suggestion(titles=(*titles, title), record=record, why=sentence)
    return tuple(merged.values())


def status_counts(study: StudyRecords) -> tuple[StatusCount, ...]:
    """Return how many trials ended in which way, only the ways that occurred; completes first."""
    counts = Counter(record.status for record in study.records)
    meanings = dict(_STATUS_MEANINGS)
    violating = sum(
        record.status is TrialStatus.COMPLETE and not record.is_feasible for record in study.records
    )
    if violating:
        meanings[TrialStatus.COMPLETE] = (
            f"finished; {violating:,} break a limit or constraint and do not count"
        )
    return tuple(
        StatusCount(status=status, count=counts[status], meaning=meaning)
        for status, meaning in meanings.items()
        if counts[status]
    )


def reason_counts(records: Iterable[TrialRecord], status: TrialStatus) -> tuple[ReasonCount, ...]:
    """Group the trials of one status by their reason, the most frequent first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.status is status:
            groups[record.reason or "no reason given"].append(record.number)
    return tuple(
        ReasonCount(reason=reason, count=len(numbers), examples=_list_numbers(sorted(numbers)))
        for reason, numbers in sorted(groups.items(), key=lambda group: (-len(group[1]), group[1][0]))
    )


def rung_counts(records: Iterable[TrialRecord]) -> dict[int, int]:
    """Return how many trials have reached each rung, by its epochs, ascending."""
    counts = Counter(rung.epochs for record in records for rung in record.rungs)
    return dict(sorted(counts.items()))


def stage_totals(study: StudyRecords) -> tuple[StageTotal, ...]:
    """Return the time and the memory per stage over all trials, the longest first."""
    seconds: defaultdict[str, float] = defaultdict(float)
    peaks: dict[str, float] = {}
    computed: Counter[str] = Counter()
    reused: Counter[str] = Counter()
    for record in study.records:
        cached = set(record.cached_stages)
        reused.update(cached)
        for stage, spent in record.stage_seconds.items():
            seconds[stage] += spent
            computed[stage] += stage not in cached
        for stage, peak in {**record.stage_peak_memory_mb, **record.stage_peak_gpu_memory_mb}.items():
            seconds[stage] += 0.0  # so that shared stages are listed as well
            peaks[stage] = max(peak, peaks.get(stage, 0.0))
    total = sum(seconds.values()) or 1.0
    return tuple(
        StageTotal(
            stage=stage,
            seconds=spent,
            share=spent / total,
            num_computed=computed[stage],
            num_reused=reused[stage],
            peak_memory_mb=peaks.get(stage),
        )
        for stage, spent in sorted(seconds.items(), key=lambda pair: -pair[1])
    )


def _is_as_good_as_dense(record: TrialRecord) -> bool:
    scores = scores_of(record)
    interval = wilson_interval(scores.num_correct_fine_tuned, scores.num_images)
    return scores.accuracy_dense <= interval.high


def _list_numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_MOST_NUMBERS])
    return shown + (f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else "")
