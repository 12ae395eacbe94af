"""Where a study stands: counts, front, hypervolume, time left; as lines of text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.formats import duration
from reports.fronts import StudyFront, hypervolume, scores_of
from reports.records import StudyRecords, TrialStatus
from reports.summary import reason_counts, rung_counts, status_counts
from search.front_text import front_lines, rung_text
from search.spec import SearchSpec
from search.spec_settings import COUNTED

__all__ = ["StudyStatus", "count_ended", "count_left", "count_wanted", "status_json", "status_lines"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """A study as it is now.

    ``num_wanted``: the spec's limit of trials, as `num_counted` counts them. ``is_running``: a driver works on it.
    ``resume_command``: what to type if none does. ``why_early``: why the last driver ended before the limit.
    """

    front: StudyFront
    num_wanted: int
    is_running: bool
    resume_command: str
    why_early: str | None = None

    @property
    def num_counted(self) -> int:
        """Trials that ended and count towards the limit: complete, stopped or failed."""
        return count_ended(self.front.study)

    @property
    def num_left(self) -> int:
        """Trials that are still to end."""
        return max(0, self.num_wanted - self.num_counted)

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the pace so far; None before the first trial ended, or if nothing runs."""
        study = self.front.study
        if not self.is_running or self.num_counted == 0:
            return None
        pace = max(0.0, study.updated_at - study.created_at) / self.num_counted
        return self.num_left * pace


def count_ended(study: StudyRecords) -> int:
    """Count the trials that count towards a study's limit."""
    return sum(record.status in COUNTED for record in study.records)


def count_wanted(spec: SearchSpec) -> int:
    """Return how many trials a search has room for."""
    return min(spec.limits.trials, spec.space.num_configurations or spec.limits.trials)


def count_left(study: StudyRecords, spec: SearchSpec) -> int:
    """Return how many trials are still to end."""
    return max(0, count_wanted(spec) - count_ended(study))


def status_lines(status: StudyStatus) -> list[str]:
    """Write a status as lines: what ended how, the front, and what happens next."""
    study = status.front.study
    counts = ", ".join(f"{one.count} {one.status}" for one in status_counts(study)) or "none yet"
    lines = [f"study {study.study}: {status.num_counted} of {status.num_wanted} trials ({counts})"]
    rungs = rung_counts(study.records)
    if rungs:
        lines.append(rung_text(rungs))
    lines += ["", *front_lines(status.front)]
    if status.front.members:
        lines.append(f"hypervolume {hypervolume(status.front.members, study.objectives):.4f}")
    for kind in (TrialStatus.STOPPED, TrialStatus.FAILED, TrialStatus.INFEASIBLE):
        for reason in reason_counts(study.records, kind):
            lines.append(f"{kind} ({reason.count}, such as trial {reason.examples}): {reason.reason}")
    return [*lines, "", _next(status)]


def status_json(status: StudyStatus) -> dict[str, Any]:
    """Return a status as JSON can hold it."""
    study = status.front.study
    return {
        "study": study.study,
        "is_running": status.is_running,
        "why_early": None if status.is_running else status.why_early,
        "trials_wanted": status.num_wanted,
        "trials_counted": status.num_counted,
        "trials": {one.status.value: one.count for one in status_counts(study)},
        "rungs": {str(epochs): number for epochs, number in rung_counts(study.records).items()},
        "seconds_left": status.seconds_left,
        "hypervolume": hypervolume(status.front.members, study.objectives),
        "front": [
            {
                "trial": record.number,
                "accuracy": scores_of(record).accuracy,
                "macs": scores_of(record).macs,
                "params": scores_of(record).params,
                "varied": dict(record.varied),
            }
            for record in status.front.points
        ],
        "reasons": [
            {"trial": record.number, "status": record.status.value, "reason": record.reason}
            for record in study.records
            if record.reason is not None
        ],
    }


def _next(status: StudyStatus) -> str:
    if status.num_left == 0:
        return "finished"
    if not status.is_running and status.why_early is not None:
        return f"not running; ended before limits.trials was reached: {status.why_early}"
    if not status.is_running:
        return f"not running; go on with: {status.resume_command}"
    left = status.seconds_left
    return "running" if left is None else f"running; about {duration(left)} left"
