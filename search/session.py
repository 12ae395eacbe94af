"""What one driver does to a study: all that must happen before the first item, after each, and after the last."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from pruning_core.errors import StorageError
from reports.records import RungScores, StudyRecords, TrialRecord
from search.backend import Facts, PruningBackend
from search.birth_certificate import birth_certificate
from search.disk import storage_errors, write_whole
from search.outcomes import ItemOutcome
from search.progress import SearchState, make_progress
from search.proposer import Proposer
from search.spec import SearchSpec
from search.studies.earlier_studies import read_earlier_trials
from search.studies.folder import StudyFolder
from search.studies.records import combine_records
from search.studies.study import open_search_study
from search.timeline import Timeline, read_timeline, session_seconds
from search.timing import Timing, measure_timing
from search.tracking.process import ProjectionProcess
from search.tracking.writer import StudyAddress, TrackingWriter, address_of
from search.work_items import WorkItem

__all__ = ["BATCH", "FAILED", "FINISHED", "INTERRUPTED", "EndReason", "SearchSession"]


@dataclass(frozen=True, slots=True)
class EndReason:
    """Why a driver stops. ``run_status`` is MLflow's word for it; ``patience_s``: how long MLflow may take."""

    name: str
    run_status: str
    patience_s: float


_WORKERS_START_S = 10.0

BATCH = "batch"
"""Noted of a reproducible search: how many trials it proposes together; it may be resumed with other slots."""

FINISHED = EndReason("finished", "FINISHED", 30.0)
INTERRUPTED = EndReason("interrupted", "KILLED", 15.0)
FAILED = EndReason("failed", "FAILED", 15.0)


class SearchSession:
    """Opens a study, keeps timeline, progress, MLflow and failures up to date, and closes it.

    Args:
        spec: What to search.
        folder: Of the study, which this process holds.
        backend: Plans and checks configurations.
        facts: About the data and the dense network.
        slots: How many items run at once.
        console: Shows progress.
        ensure_held: Called before the study is written over a new connection; raises if it is not held any more.
    """

    def __init__(
        self,
        *,
        spec: SearchSpec,
        folder: StudyFolder,
        backend: PruningBackend,
        facts: Facts,
        slots: int,
        console: Console,
        ensure_held: Callable[[], object] = lambda: None,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._slots = slots
        study = open_search_study(folder, spec, ensure_held)
        _check_identity(folder, study.attributes.get("id"))
        is_noted = "facts" in study.attributes  # which come last; Git may take a while in a large repository
        study.note(
            {
                **({} if is_noted else birth_certificate({**facts, "sampler": str(study.sampler)})),
                **({} if folder.identity is None else {"id": folder.identity}),
                "sampler": study.sampler.to_plain(),
                **({BATCH: slots} if spec.reproducible else {}),
            }
        )
        study.learn_from(lambda: read_earlier_trials(spec).trials)
        adopted, finished = study.adopt(), study.finished()
        self._state = SearchState(
            combine_records(spec, study.attributes, finished), limit=spec.limits.trials, slots=slots
        )
        for reached in (rung for asked in adopted for rung in asked.rungs):
            self._state.reach(reached.epochs)
        self.progress = make_progress(self._state, console)
        self.address: StudyAddress = address_of(spec, folder, study.attributes)
        connect = partial(ProjectionProcess, self.address, study.attributes["facts"])
        self._writer = TrackingWriter(connect, start_delay_s=_WORKERS_START_S)
        self._timeline = Timeline(folder.timeline_path)
        time_limit_s = None
        if spec.limits.hours is not None:
            time_limit_s = spec.limits.hours * 3600 - session_seconds(read_timeline(folder.timeline_path))
        self.proposer = Proposer(
            spec=spec,
            study=study,
            backend=backend,
            timeline=self._timeline,
            listener=self,
            slots=slots,
            time_limit_s=time_limit_s,
            batch=study.attributes.get(BATCH),
        )
        self._adopted, self._finished = adopted, finished

    @property
    def study(self) -> StudyRecords:
        """What is finished."""
        return self._state.study

    def begin(self, started_at: float) -> None:
        """Take up the study; ``started_at``: when the driver began to start up, in unix seconds."""
        self._timeline.begin_session(at=started_at, slots=self._slots, pid=os.getpid())
        self._writer.start()
        self._writer.submit(self.study)
        self.proposer.begin(self._adopted, self._finished)

    def item_started(self, item: WorkItem) -> None:
        """Show it."""
        self.progress.item_started(item)

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """Show it, and keep the traceback of a failure."""
        self.progress.item_finished(item, outcome)
        if outcome.traceback is not None:
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(outcome.finished_at))
            text = f"{moment} {item} ({item.key}) on {outcome.host}\n{outcome.traceback}\n"
            with storage_errors(self._folder.path), self._folder.failures_path.open("a") as file:
                file.write(text)

    def rung_reached(self, number: int, rung: RungScores) -> None:
        """Show it."""
        self.progress.rung_reached(number, rung)

    def trial_finished(self, record: TrialRecord) -> None:
        """Show it and hand it to MLflow."""
        self.progress.trial_finished(record)
        self._writer.submit(self.study)

    def close(self, reason: EndReason) -> tuple[Timing, int]:
        """Write what is known at the end.

        Returns:
            Where the time went, and how many finished trials MLflow does not have.
        """
        self._timeline.end_session(reason=reason.name, why_early=self.proposer.why_early)
        timing = measure_timing(read_timeline(self._folder.timeline_path))
        with storage_errors(self._folder.path):
            write_whole(self._folder.timing_path, json.dumps(timing.to_plain(), indent=1) + "\n")
        num_tracked = self._writer.close(self.study, reason.run_status, patience_s=reason.patience_s)
        return timing, max(0, len(self.study.records) - num_tracked)

    @property
    def tracking_problem(self) -> str | None:
        """Why MLflow could not be written at the last attempt."""
        return self._writer.problem


def _check_identity(folder: StudyFolder, noted: str | None) -> None:
    """Refuse to go on with another study of the same name.

    Raises:
        StorageError: The database holds one that was launched elsewhere.
    """
    if None not in (folder.identity, noted) and folder.identity != noted:
        raise StorageError(
            f"the study {folder.study!r} in the database must be the one that was launched in {folder.path}, but was "
            "launched elsewhere; resume it there, and launch this one again with another name: study=NAME"
        )
