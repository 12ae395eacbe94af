"""Our proposer as a Ray Tune search algorithm: a work item is a Ray trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ray.tune.search import Searcher

from search.backend import BackendSettings
from search.execution.worker import METRIC, pack_item, pack_meeting, pack_wait, unpack_outcome
from search.outcomes import ItemOutcome, OutcomeStatus
from search.proposer import Proposer
from search.work_items import WorkItem

__all__ = ["RaySearcher", "Watch"]

_LOW_ON_MEMORY = "running low on memory"  # in what Ray says of a worker that it ended before the kernel would


class Watch(Protocol):
    """Looks, every now and then, whether the search can go on."""

    def check(self) -> None:
        """Look, if it is time; raises if it cannot."""


class RaySearcher(Searcher):
    """Hands out work items and takes in their outcomes.

    Ray wraps what is raised in its callbacks, or takes it for a failed trial and goes on; ``error`` keeps the first
    as it was, and `check` raises it where Ray lets it through.

    Args:
        proposer: Decides what runs next.
        backend: What workers make their backend from.
        slots: How many workers there will be.
        folder: For files of this run that nobody needs afterwards.
        watches: Find out when nothing can run, or be kept, any more.
        do_workers_meet: Whether all workers start before the first item is handed out; they must see ``folder``.
        max_failures: How often an item whose worker died is handed out again. Ray does so itself, but not if the worker
            was gone before it had begun.
    """

    def __init__(
        self,
        proposer: Proposer,
        backend: BackendSettings,
        *,
        slots: int,
        folder: Path,
        watches: Sequence[Watch] = (),
        do_workers_meet: bool = True,
        max_failures: int = 0,
    ) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._proposer = proposer
        self._backend = backend
        self._slots = slots
        self._folder = folder
        self._watches = watches
        self._num_to_meet = slots if do_workers_meet else 0
        self._num_meetings = 0
        self._has_looked_ahead = False
        self._items: dict[str, tuple[WorkItem, float]] = {}
        self._deaths: dict[str, str] = {}
        self._max_failures = max_failures
        self._num_deaths: Counter[WorkItem] = Counter()
        self.error: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        """Return the next item, a wait for one, None for "ask again later", or ``FINISHED``."""
        if self._num_meetings < self._num_to_meet:
            self._num_meetings += 1
            return pack_meeting(self._folder / "workers", self._slots)
        with self._remembering_errors():
            item = self._proposer.next_item()
        if item is None:
            return self._pass()
        self._items[trial_id] = item, time.time()
        return pack_item(item, self._proposer.config_of(item), self._backend)

    def note_death(self, trial_id: str, error: str) -> None:
        """Keep what Ray has written of the workers that died at an item, after each death."""
        self._deaths[trial_id] = error
        if trial_id in self._items:
            self._num_deaths[self._items[trial_id][0]] += 1

    def on_trial_complete(
        self,
        trial_id: str,
        result: Mapping[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 - Ray's signature
    ) -> None:
        """Take in an item's outcome; of one whose workers died too often, of what they did."""
        death = self._deaths.pop(trial_id, "")
        if trial_id not in self._items:
            return  # it only waited, or met
        item, handed_out_at = self._items.pop(trial_id)
        if error and 0 < self._num_deaths[item] <= self._max_failures:
            self._proposer.take_back(item)
            return
        outcome = _lost(handed_out_at, death) if error or result is None else unpack_outcome(result)
        with self._remembering_errors():
            self._proposer.finish_item(item, outcome)

    def check(self) -> None:
        """Raise what went wrong in a callback, or what a watch has found out."""
        with self._remembering_errors():
            for watch in self._watches:
                watch.check()
        if self.error is not None:
            raise self.error

    def look_ahead(self) -> None:
        """Use the time in which workers start to propose what they will run; does nothing before or after."""
        if self._num_meetings == self._num_to_meet and not self._has_looked_ahead:
            self._has_looked_ahead = True
            with self._remembering_errors():
                self._proposer.look_ahead()

    @contextmanager
    def _remembering_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            raise

    def _pass(self) -> dict[str, str] | str | None:
        if self._proposer.is_finished:
            return str(Searcher.FINISHED)
        stage_keys = self._proposer.awaited_stages
        return pack_wait(stage_keys, self._backend) if stage_keys else None

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is the truth, and Ray's own restore is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, as `save` does."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray writes its tuner to disk for a restore that is not used


def _lost(handed_out_at: float, deaths: str) -> ItemOutcome:
    words = _last_words(deaths)
    return ItemOutcome(
        status=OutcomeStatus.NO_MEMORY if _LOW_ON_MEMORY in words else OutcomeStatus.FAILED,
        reason="the worker process died at every attempt that limits.max_failures allows (killed, or out of memory)"
        + (f"; Ray says: {words}" if words else ""),
        started_at=handed_out_at,
        finished_at=time.time(),
    )


def _last_words(deaths: str) -> str:
    """Return the first line on the last death; each begins with a line that counts it."""
    lines = deaths.rpartition("Failure # ")[2].splitlines()
    return lines[1].strip() if len(lines) > 1 else ""
