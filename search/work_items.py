"""Which stage or trial to run next: pure planning, without Ray, Optuna or a clock.

A *shared stage* is work that several trials need (the dense network, a predictor, a selector). It runs as a work item
of its own, and a trial starts only when all of its shared stages exist, so that no slot ever waits for another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = [
    "ItemKind",
    "PlannedStage",
    "PlannedTrial",
    "WorkItem",
    "choose_item",
    "critical_path_s",
    "serial_prefix_s",
]


class ItemKind(StrEnum):
    """What a work item runs."""

    STAGE = "stage"
    TRIAL = "trial"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStage:
    """A shared stage. ``parents``: keys of the shared stages that must exist before it can start."""

    name: str
    key: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTrial:
    """A proposed trial. ``stages``: the shared stages it needs, parents before children.

    Trials with equal ``key`` give the same network. ``done``: the epochs of fine-tuning that are behind it, and
    ``until``: those up to which it shall run next; None: to its end.
    """

    number: int
    key: str
    stages: tuple[PlannedStage, ...] = ()
    done: int = 0
    until: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """One thing for one worker: a shared stage, or everything else that a trial needs up to a rung or to its end.

    ``name``: of the stage, or ``trial``. ``key``: of the stage or the trial. ``number``: the trial whose
    configuration is used. ``until``: epochs of fine-tuning after which the trial's worker is free again; None: its end.
    """

    kind: ItemKind
    name: str
    key: str
    number: int
    until: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold; ``from_plain`` reads it back."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> WorkItem:
        """Read what ``to_plain`` wrote."""
        return cls(**{**values, "kind": ItemKind(values["kind"])})

    def __str__(self) -> str:
        if self.kind is ItemKind.STAGE:
            return f"stage {self.name}"
        return f"trial {self.number}" + (f" to epoch {self.until}" if self.until is not None else "")


def choose_item(
    waiting: Sequence[PlannedTrial], *, built: Collection[str], running: Collection[str]
) -> WorkItem | None:
    """Choose what a free slot should run, or None if everything waits for something that runs.

    Stages come before trials, because others wait for them, and among stages the one that most waiting trials need.
    Trials that are further go on first; others start in the order of their numbers. Callers keep ``waiting`` short;
    as a trial is waited for by its own stages only, none starves.

    Args:
        waiting: Trials that have not started, or shall go on.
        built: Keys of the shared stages that exist.
        running: Keys of the stages that are being built.
    """
    stage = _most_needed_stage(waiting, built, running)
    if stage is not None:
        return stage
    ready = [trial for trial in waiting if all(stage.key in built for stage in trial.stages)]
    if not ready:
        return None
    first = min(ready, key=lambda trial: (-trial.done, trial.number))
    return WorkItem(kind=ItemKind.TRIAL, name="trial", key=first.key, number=first.number, until=first.until)


def critical_path_s(trials: Iterable[PlannedTrial], seconds: dict[str, float]) -> float:
    """Return the longest chain of stages and one trial that must follow each other, in seconds.

    Args:
        trials: All trials of a search.
        seconds: Duration by key, of stages and trials; what is missing took no time.
    """
    longest = 0.0
    for trial in trials:
        finished: dict[str, float] = {}
        for stage in trial.stages:
            start = max((finished.get(parent, 0.0) for parent in stage.parents), default=0.0)
            finished[stage.key] = start + seconds.get(stage.key, 0.0)
        longest = max(longest, max(finished.values(), default=0.0) + seconds.get(trial.key, 0.0))
    return longest


def serial_prefix_s(trials: Sequence[PlannedTrial], seconds: dict[str, float]) -> float:
    """Return how long only one slot can be busy at the start: stages that everything else comes after, in seconds."""
    parents = {stage.key: set(stage.parents) for trial in trials for stage in trial.stages}
    total, done = 0.0, set[str]()
    while True:
        startable = [key for key in parents if key not in done and parents[key] <= done]
        if len(startable) != 1 or not all(_needs(trial, startable[0]) for trial in trials):
            return total
        total += seconds.get(startable[0], 0.0)
        done.add(startable[0])


def _needs(trial: PlannedTrial, stage_key: str) -> bool:
    return any(stage.key == stage_key for stage in trial.stages)


def _most_needed_stage(
    waiting: Sequence[PlannedTrial], built: Collection[str], running: Collection[str]
) -> WorkItem | None:
    num_trials: dict[str, int] = {}
    startable: dict[str, WorkItem] = {}
    for trial in sorted(waiting, key=lambda trial: trial.number):
        for stage in trial.stages:
            if stage.key in built or stage.key in running:
                continue
            num_trials[stage.key] = num_trials.get(stage.key, 0) + 1
            if all(parent in built for parent in stage.parents):
                item = WorkItem(kind=ItemKind.STAGE, name=stage.name, key=stage.key, number=trial.number)
                startable.setdefault(stage.key, item)
    return max(startable.values(), key=lambda item: (num_trials[item.key], -item.number), default=None)
