"""What a search shows while it runs: a live view on a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports.formats import amount, counted, duration, percent, slim_accuracy
from reports.records import RungScores, StudyRecords, TrialRecord, TrialStatus
from reports.summary import rung_counts
from search.front_so_far import FrontSoFar
from search.front_text import front_lines, rung_text
from search.listener import SearchListener
from search.outcomes import ItemOutcome, OutcomeStatus
from search.spec_settings import COUNTED
from search.work_items import ItemKind, WorkItem

__all__ = ["LiveProgress", "PlainProgress", "SearchProgress", "SearchState", "make_progress"]

_REFRESHES_PER_S = 2
_SHORTEST_BAR, _LONGEST_BAR = 5, 30  # columns


class SearchState:
    """Where a search stands, kept as counts: nothing but `study` goes through all trials.

    Args:
        study: What earlier drivers finished.
        limit: Trials after which the search ends.
        slots: Items that run at once.
        clock: Unix seconds.
    """

    def __init__(
        self, study: StudyRecords, *, limit: int, slots: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = study.study
        self.limit = limit
        self._slots = slots
        self._clock = clock
        self._began_at = clock()
        self.running: dict[WorkItem, float] = {}
        self._reached = Counter(rung_counts(study.records))
        self._study = study
        self._updated_at = study.updated_at
        self._records: list[TrialRecord] = []
        self._counts: Counter[TrialStatus] = Counter()
        self._num_timed, self._work_s = 0, 0.0
        for record in study.records:
            self._take_in(record)

    def add(self, record: TrialRecord) -> None:
        """Take in a finished trial."""
        self._updated_at = max(self._updated_at, record.finished_at or 0.0)
        self._take_in(record)

    def _take_in(self, record: TrialRecord) -> None:
        self._records.append(record)
        self._counts[record.status] += 1
        seconds = _work_s(record)
        if seconds is not None:
            self._num_timed += 1
            self._work_s += seconds

    @property
    def study(self) -> StudyRecords:
        """What is finished; put together when it is asked for."""
        if len(self._study.records) < len(self._records):
            self._study = self._study.model_copy(
                update={"records": tuple(self._records), "updated_at": self._updated_at}
            )
        return self._study

    def reach(self, epochs: int) -> None:
        """Take in that a trial came to a rung."""
        self._reached[epochs] += 1

    @property
    def reached(self) -> dict[int, int]:
        """How many trials came to each rung, by its epochs, ascending."""
        return dict(sorted(self._reached.items()))

    def count(self, status: TrialStatus) -> int:
        """Return how many trials ended so."""
        return self._counts[status]

    @property
    def num_done(self) -> int:
        """Trials that count towards the limit."""
        return sum(self.count(status) for status in COUNTED)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this driver began."""
        return self._clock() - self._began_at

    @property
    def left_s(self) -> float | None:
        """Seconds until the limit is reached, if trials go on taking what they took; None before the first."""
        if self._num_timed == 0:
            return None
        mean = self._work_s / self._num_timed
        ages = [self._clock() - since for item, since in self.running.items() if item.kind is ItemKind.TRIAL]
        num_unstarted = max(0, self.limit - self.num_done - len(ages))
        work = num_unstarted * mean + sum(max(0.0, mean - age) for age in ages)
        return work / self._slots

    def summary(self) -> str:
        """Say in one line how far the search is."""
        parts = [f"{self.num_done} of {counted(self.limit, 'trial')} done"]
        for status in (TrialStatus.STOPPED, TrialStatus.FAILED, TrialStatus.INFEASIBLE):
            if number := self.count(status):
                parts.append(f"{number} {status}")
        if self.left_s is not None and self.num_done < self.limit:
            parts.append(f"about {duration(self.left_s)} left")
        return ", ".join(parts)


class SearchProgress(SearchListener, Protocol):
    """A view of a search; told of events, and on screen while its context lasts."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen as it should stay."""


def make_progress(state: SearchState, console: Console) -> SearchProgress:
    """Return a live view where one can be redrawn, and plain lines in pipes and on dumb terminals."""
    is_live = console.is_terminal and not console.is_dumb_terminal
    return LiveProgress(state, console) if is_live else PlainProgress(state, console)


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """A line per finished item: for logs and pipes."""

    def __init__(self, state: SearchState, console: Console) -> None:
        self._state = state
        self._console = console

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""

    def item_started(self, item: WorkItem) -> None:
        """Note when it began."""
        self._state.running[item] = time.time()

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """Say how a stage went; trials follow with their records."""
        self._state.running.pop(item, None)
        if item.kind is ItemKind.STAGE:
            took = duration(outcome.finished_at - outcome.started_at)
            is_built = outcome.status is OutcomeStatus.COMPLETE
            self._say(f"{item} built in {took}" if is_built else f"{item} failed: {outcome.reason}")

    def rung_reached(self, number: int, rung: RungScores) -> None:
        """Say how good it is so far."""
        self._state.reach(rung.epochs)
        self._say(f"trial {number} at epoch {rung.epochs}: accuracy {slim_accuracy(rung.scores)}")

    def trial_finished(self, record: TrialRecord) -> None:
        """Say how it went, and how far the search is."""
        self._state.add(record)
        self._say(f"{trial_text(record)} [{self._state.summary()}]")

    def _say(self, text: str) -> None:
        clock = f"{int(self._state.elapsed_s) // 60:3d}:{int(self._state.elapsed_s) % 60:02d}"
        self._console.print(f"{clock}  {text}", markup=False, highlight=False, soft_wrap=True)


class LiveProgress(AbstractContextManager["LiveProgress"]):
    """A view that redraws itself: how far, what runs, and the front so far. Gone when the search ends."""

    def __init__(self, state: SearchState, console: Console) -> None:
        self._state = state
        self._console = console
        self._front = FrontSoFar(state.study)
        self._drawn: tuple[tuple[int, int], list[str]] = (-1, -1), []
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wipe the view."""
        self._live.stop()

    def item_started(self, item: WorkItem) -> None:
        """Show it among what runs."""
        self._state.running[item] = time.time()

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """Show a failed stage above the view; the rest is in the view."""
        self._state.running.pop(item, None)
        if item.kind is ItemKind.STAGE and outcome.status is not OutcomeStatus.COMPLETE:
            self._live.console.print(f"{item} failed: {outcome.reason}", markup=False, highlight=False)

    def rung_reached(self, number: int, rung: RungScores) -> None:  # noqa: ARG002 - the listener's
        """Count it."""
        self._state.reach(rung.epochs)

    def trial_finished(self, record: TrialRecord) -> None:
        """Bring the front up to date; show failures above the view."""
        self._state.add(record)
        self._front.add(record)
        if record.status not in (TrialStatus.COMPLETE, TrialStatus.STOPPED):
            self._live.console.print(trial_text(record), markup=False, highlight=False)

    def _draw(self) -> RenderableType:
        state = self._state
        head = Table.grid(padding=(0, 2))
        summary, elapsed = state.summary(), duration(state.elapsed_s)
        rest = len(state.name) + len(summary) + len(elapsed) + 6  # and the gaps between the four
        width = max(_SHORTEST_BAR, min(_LONGEST_BAR, self._console.width - rest))
        bar = ProgressBar(total=state.limit, completed=min(state.num_done, state.limit), width=width)
        head.add_row(Text(state.name, style="bold"), bar, summary, elapsed)
        running = ", ".join(
            f"{item} ({duration(time.time() - since)})" for item, since in list(state.running.items())
        )
        rungs = [rung_text(state.reached)] if state.reached else []
        front = Text("\n".join([*rungs, "", *self._front_lines()]), no_wrap=True, overflow="ellipsis")
        return Group(head, Text(f"running: {running or 'workers are starting'}"), front)

    def _front_lines(self) -> list[str]:
        """Return as much of the front as the terminal can show, so that a long one takes no longer to draw."""
        version, height = self._front.version, self._console.height
        if self._drawn[0] != (version, height):
            self._drawn = (version, height), front_lines(self._front.largest(height))[:height]
        return self._drawn[1]


def _work_s(record: TrialRecord) -> float | None:
    """Return how long workers were busy with a trial; between rungs it may have waited. None if it did not run."""
    if record.rungs and record.status in COUNTED:
        return record.seconds
    if record.status is not TrialStatus.COMPLETE or record.finished_at is None or record.started_at is None:
        return None
    return record.finished_at - record.started_at


def trial_text(record: TrialRecord) -> str:
    """Say in one line how a trial ended."""
    if record.scores is None or record.status is not TrialStatus.COMPLETE:
        return f"trial {record.number} {record.status}: {record.reason}"
    scores = record.scores
    return (
        f"trial {record.number} complete: accuracy {slim_accuracy(scores)}, "
        f"{amount(scores.macs)} FLOPs (MACs) ({percent(scores.macs_share)} of dense), "
        f"{amount(scores.params)} params ({percent(scores.params_share)})"
    )
