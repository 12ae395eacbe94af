"""What ran, when, and for how long: one line of JSON per work item, written by the driver alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.disk import cut_torn_lines, storage_errors
from search.work_items import PlannedStage, WorkItem

__all__ = ["Timeline", "read_timeline", "session_seconds", "why_ended_early"]


class Timeline:
    """Appends to a study's timeline; only for the process that holds the study."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin_session(self, *, at: float, slots: int, pid: int) -> None:
        """Note that a driver began, in unix seconds, to work on the study."""
        with storage_errors(self._path.parent):
            cut_torn_lines(self._path)
        self._append({"event": "session", "at": at, "slots": slots, "pid": pid})

    def add_item(
        self, item: WorkItem, outcome: Mapping[str, Any], stages: tuple[PlannedStage, ...] = ()
    ) -> None:
        """Note a work item that came back.

        Args:
            item: What ran.
            outcome: Its status, start and end in unix seconds, host and process.
            stages: The shared stages that a trial used.
        """
        noted = ("status", "reason", "started_at", "finished_at", "host", "pid")
        self._append(
            {
                "event": "item",
                "at": time.time(),
                **item.to_plain(),
                **{name: outcome[name] for name in noted if outcome.get(name) is not None},
                "stages": [asdict(stage) for stage in stages],
            }
        )

    def end_session(self, *, reason: str, why_early: str | None = None) -> None:
        """Note why the driver stops, and why before it has run as many trials as it was to."""
        self._append({"event": "end", "at": time.time(), "reason": reason, "why_early": why_early})

    def _append(self, event: Mapping[str, Any]) -> None:
        with storage_errors(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def read_timeline(path: Path) -> tuple[dict[str, Any], ...]:
    """Read a timeline up to the first torn line."""
    events: list[dict[str, Any]] = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            break
    return tuple(events)


def why_ended_early(path: Path) -> str | None:
    """Return why the last driver ended before it had run as many trials as it was to; None if it did not say."""
    events = read_timeline(path)
    why: str | None = events[-1].get("why_early") if events else None
    return why


def session_seconds(events: tuple[Mapping[str, Any], ...]) -> float:
    """Return how long drivers have worked on the study; of a killed one, up to the last thing it noted."""
    total, first = 0.0, 0.0
    last = 0.0
    for event in events:
        at = float(event["at"])
        if event["event"] == "session":
            total += last - first
            first = at
        last = at
    return total + last - first
