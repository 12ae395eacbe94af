"""A whole search against a virtual clock: the real proposer and study, and slots whose items end in order of time."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruning_core.config import load_config
from reports.records import RungScores, StudyRecords, TrialRecord
from search.outcomes import ItemOutcome, OutcomeStatus
from search.proposer import Proposer
from search.replay.backend import ReplayBackend
from search.spec import SearchSpec
from search.studies.records import combine_records
from search.studies.study import new_study_in_memory
from search.timeline import Timeline
from search.work_items import WorkItem

__all__ = ["simulate"]


def simulate(spec: SearchSpec, backend: ReplayBackend, *, slots: int) -> StudyRecords:
    """Run a search to its end without waiting for it.

    Args:
        spec: ``limits.hours`` counts on the virtual clock; resources and storage are not looked at.
        backend: Answers for the configurations of the spec.
        slots: How many items run at once.

    Returns:
        The study, as if it had begun at second 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _Simulation(spec, backend, slots, Timeline(Path(folder) / "timeline.jsonl")).run()


class _Simulation:
    """One search; told of its own events."""

    def __init__(self, spec: SearchSpec, backend: ReplayBackend, slots: int, timeline: Timeline) -> None:
        self._spec = spec
        self._backend = backend
        self._slots = slots
        self._now = 0.0
        self._running: list[tuple[float, int, WorkItem, ItemOutcome]] = []
        self._spent: dict[int, float] = {}
        self._num_started = 0
        self._records: list[TrialRecord] = []
        hours = spec.limits.hours
        self._proposer = Proposer(
            spec=spec,
            study=new_study_in_memory(spec),
            backend=backend,
            timeline=timeline,
            listener=self,
            slots=slots,
            time_limit_s=None if hours is None else hours * 3600,
            clock=lambda: self._now,
        )

    def run(self) -> StudyRecords:
        self._proposer.begin([], [])
        while True:
            self._fill_slots()
            if not self._running:
                assert self._proposer.is_finished, "nothing runs, so nothing may be left"
                break
            self._now, _, item, outcome = heapq.heappop(self._running)
            self._proposer.finish_item(item, outcome)
        attributes: Mapping[str, Any] = {"created_at": 0.0, "version": "replay", "machine": {}}
        return combine_records(self._spec, attributes, self._records)

    def _fill_slots(self) -> None:
        while len(self._running) < self._slots:
            item = self._proposer.next_item()
            if item is None:
                return
            outcome = self._outcome(item)
            self._num_started += 1  # of items that end together, the first to start ends first
            heapq.heappush(self._running, (outcome.finished_at, self._num_started, item, outcome))

    def _outcome(self, item: WorkItem) -> ItemOutcome:
        config, until = load_config(self._proposer.config_of(item)), item.until
        total_s = self._backend.seconds(config, until)
        seconds = total_s - self._spent.get(item.number, 0.0)
        self._spent[item.number] = total_s
        return ItemOutcome(
            status=OutcomeStatus.COMPLETE,
            started_at=self._now,
            finished_at=self._now + seconds,
            result=self._backend.run_trial(config)
            if until is None
            else self._backend.run_rung(config, until),
        )

    def item_started(self, item: WorkItem) -> None:
        """Nothing is shown."""

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """Nothing is shown."""

    def rung_reached(self, number: int, rung: RungScores) -> None:
        """Nothing is shown."""

    def trial_finished(self, record: TrialRecord) -> None:
        self._records.append(record)
