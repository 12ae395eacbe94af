"""Where the time of a study went, worked out from its timeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from search.work_items import ItemKind, PlannedStage, PlannedTrial, critical_path_s, serial_prefix_s

__all__ = ["StageTiming", "Timing", "measure_timing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTiming:
    """One shared stage. ``num_builds`` is 1, unless a driver died while it ran or it was there before the study.
    ``num_trials``: how many used it.
    """

    name: str
    key: str
    seconds: float
    num_builds: int
    num_trials: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Where the time of a study went, over all of its sessions, in seconds.

    ``start_up_s``: from the start of a driver until the first item runs (imports, Ray, workers). ``wall_s``: from
    then to the end of the last item. ``work_s``: sum over all items. ``critical_path_s``: longest chain of items
    that must follow each other. ``serial_s``: stages at the start that everything else comes after.
    ``unshared_work_s``: what the finished trials would have cost had each built its stages itself.
    """

    slots: int
    start_up_s: float
    wall_s: float
    work_s: float
    critical_path_s: float
    serial_s: float
    unshared_work_s: float
    num_trials: int
    shared_stages: tuple[StageTiming, ...]

    @property
    def ideal_s(self) -> float:
        """The larger of work / slots and the critical path."""
        return max(self.work_s / self.slots, self.critical_path_s)

    @property
    def reachable_s(self) -> float:
        """The ideal, given that only one slot can be busy at the start: no schedule is faster."""
        beside = self.serial_s + (self.work_s - self.serial_s) / self.slots
        return max(beside, self.critical_path_s)

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {**asdict(self), "ideal_s": self.ideal_s, "reachable_s": self.reachable_s}


def measure_timing(events: Iterable[Mapping[str, Any]]) -> Timing:
    """Work out where the time went from the events of a timeline."""
    sessions = _split_sessions(events)
    items = [event for _, session_items in sessions for event in session_items]
    finished = [item for item in items if item["status"] == "complete"]
    seconds = _seconds_by_key(finished)
    trials = list(
        {item["key"]: _planned(item) for item in finished if item["kind"] == ItemKind.TRIAL}.values()
    )
    return Timing(
        slots=max((begin["slots"] for begin, _ in sessions), default=1),
        start_up_s=sum(_first_start(session) - session[0]["at"] for session in sessions if session[1]),
        wall_s=sum(_last_end(session) - _first_start(session) for session in sessions if session[1]),
        work_s=sum(_duration(item) for item in items),
        critical_path_s=critical_path_s(trials, seconds),
        serial_s=serial_prefix_s(trials, seconds),
        unshared_work_s=sum(
            seconds[trial.key] + sum(seconds.get(stage.key, 0.0) for stage in trial.stages)
            for trial in trials
        ),
        num_trials=len(trials),
        shared_stages=_stage_timings(trials, finished),
    )


_Session = tuple[Mapping[str, Any], list[Mapping[str, Any]]]


def _split_sessions(events: Iterable[Mapping[str, Any]]) -> list[_Session]:
    """Return the event that begins each session, with the session's items."""
    sessions: list[_Session] = []
    for event in events:
        if event["event"] == "session":
            sessions.append((event, []))
        elif event["event"] == "item" and "started_at" in event:
            sessions[-1][1].append(event)
    return sessions


def _first_start(session: _Session) -> float:
    return float(min(item["started_at"] for item in session[1]))


def _last_end(session: _Session) -> float:
    return float(max(item["finished_at"] for item in session[1]))


def _duration(item: Mapping[str, Any]) -> float:
    return float(item["finished_at"]) - float(item["started_at"])


def _seconds_by_key(finished: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return how long each stage took when it was last built, and all parts of each trial together."""
    parts = {(item["key"], item.get("until")): _duration(item) for item in finished}
    seconds: dict[str, float] = {}
    for (key, _), duration in parts.items():
        seconds[key] = seconds.get(key, 0.0) + duration
    return seconds


def _planned(item: Mapping[str, Any]) -> PlannedTrial:
    stages = tuple(
        PlannedStage(name=stage["name"], key=stage["key"], parents=tuple(stage["parents"]))
        for stage in item["stages"]
    )
    return PlannedTrial(number=item["number"], key=item["key"], stages=stages)


def _stage_timings(
    trials: Sequence[PlannedTrial], finished: Sequence[Mapping[str, Any]]
) -> tuple[StageTiming, ...]:
    builds: dict[str, list[Mapping[str, Any]]] = {}
    for item in finished:
        if item["kind"] == ItemKind.STAGE:
            builds.setdefault(item["key"], []).append(item)
    return tuple(
        StageTiming(
            name=found[0]["name"],
            key=key,
            seconds=_duration(found[-1]),
            num_builds=len(found),
            num_trials=sum(key in {stage.key for stage in trial.stages} for trial in trials),
        )
        for key, found in builds.items()
    )
