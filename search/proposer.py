"""What the search does next: proposes trials, hands out work items, and turns what comes back into records.

No Ray here: `execution.ray_searcher` calls `next_item` when a slot is free and `finish_item` when a worker is done,
both from the driver's one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from pruning_core.errors import ClusterError, InfeasibleBudgetsError, InvalidSettingsError, StorageError
from reports.formats import counted
from reports.records import TrialRecord, TrialStatus
from search.backend import PruningBackend, TrialPlan
from search.early_stopping.rung_book import RungBook
from search.listener import SearchListener
from search.outcomes import ItemOutcome, OutcomeStatus
from search.shared_stages import SharedStages
from search.spec import SearchSpec
from search.spec_settings import COUNTED
from search.studies.study import AskedTrial, ReachedRung, SearchStudy
from search.timeline import Timeline
from search.trial_records import Proposal, complete_record, rung_scores, stopped_record, unfinished_record
from search.tried_configurations import TriedConfigurations
from search.work_items import ItemKind, WorkItem, choose_item

__all__ = ["Proposer"]

_MAX_INFEASIBLE_IN_A_ROW = 50


class Proposer:
    """Decides what runs next.

    Args:
        spec: Of the search.
        study: Open for writing.
        backend: Plans and checks configurations.
        timeline: Gets a line per finished item.
        listener: Told of everything.
        slots: How many items run at once.
        time_limit_s: Nothing new is proposed after so many seconds from now; None: no limit.
        batch: So many trials are proposed together, and the next ones when all of them have ended, so that proposals
            do not depend on which trial ends first; None: one whenever a slot is free.
        clock: Monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        spec: SearchSpec,
        study: SearchStudy,
        backend: PruningBackend,
        timeline: Timeline,
        listener: SearchListener,
        slots: int,
        time_limit_s: float | None = None,
        batch: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._study = study
        self._backend = backend
        self._timeline = timeline
        self._listener = listener
        self._window = max(2 * slots + 2, batch or 0)  # look ahead for stages that can run beside each other
        self._clock = clock
        self._deadline = None if time_limit_s is None else clock() + time_limit_s
        self._waiting: dict[int, Proposal] = {}
        self._running: dict[int, Proposal] = {}
        self._rungs = RungBook(spec)
        self._stages = SharedStages(spec, backend)
        self._tried = TriedConfigurations(spec, backend)
        self._num_counted = 0
        self._num_repeated = 0
        self._num_infeasible = 0
        self._why_exhausted: str | None = None
        self._batch = batch
        self._num_asked = study.num_asked
        self._is_asking = False

    def begin(self, adopted: Sequence[AskedTrial], finished: Sequence[TrialRecord]) -> None:
        """Take up what earlier drivers left unfinished, and learn what they finished."""
        for record in finished:
            self._tried.learn(record)
            self._num_counted += record.status in COUNTED
        reached = [(record.number, rung) for record in finished for rung in record.rungs]
        reached += [(asked.number, rung_scores(rung)) for asked in adopted for rung in asked.rungs]
        self._rungs.learn(reached)
        self._study.avoid(self._tried.is_tried)
        self._study.enqueue_first(self._spec.points_to_try)
        for asked in adopted:
            self._consider(asked)
        begun = self._study.finish_asking()
        for asked in begun:
            self._consider(asked)
        unfinished = [*adopted, *begun]
        if unfinished and all(asked.started_at is None for asked in unfinished):
            self._complete_batch()  # the driver may have died in the middle of proposing one

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs, waits, or may be proposed."""
        return self._is_idle and not self._rungs.waiting

    @property
    def why_early(self) -> str | None:
        """Why no more is proposed though ``limits.trials`` is not reached; None if it is, or before the end."""
        if not self.is_finished or self._num_counted >= self._spec.limits.trials:
            return None
        return self._why_exhausted or "the time of limits.hours is up"

    @property
    def awaited_stages(self) -> tuple[str, ...]:
        """Keys of the stages that are being built and that trials wait for."""
        needed = {stage.key for proposal in self._waiting.values() for stage in proposal.plan.stages}
        return tuple(sorted(self._stages.building & needed))

    def config_of(self, item: WorkItem) -> Mapping[str, object]:
        """Return the configuration that an item which was handed out runs with, as plain data."""
        proposal = self._running.get(item.number) or self._waiting[item.number]
        return proposal.config.model_dump(mode="json")

    def look_ahead(self) -> None:
        """Propose until something can start, without starting it."""
        self._choose()

    def next_item(self) -> WorkItem | None:
        """Return what a free slot should run; None if all that is left waits for something that runs."""
        item = self._choose()
        if item is not None:
            self._start(item)
        return item

    def take_back(self, item: WorkItem) -> None:
        """Let an item wait again that was handed out to a worker that is no more."""
        if item.kind is ItemKind.STAGE:
            self._stages.building.discard(item.key)
        else:
            self._waiting[item.number] = self._running.pop(item.number)

    def finish_item(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """Take in what became of an item.

        Raises:
            StorageError: The worker could not write its results, so no other could; its trial can be resumed.
            ClusterError: The worker's machine cannot run any item as the driver means it; likewise.
            FailedStageError: A shared stage failed that every configuration needs; likewise.
        """
        proposal = self._running.get(item.number) if item.kind is ItemKind.TRIAL else None
        self._timeline.add_item(item, outcome.to_plain(), proposal.plan.stages if proposal else ())
        self._listener.item_finished(item, outcome)
        if outcome.status is OutcomeStatus.NO_STORAGE:
            raise StorageError(outcome.reason or "results cannot be written")
        if outcome.status is OutcomeStatus.UNFIT_MACHINE:
            raise ClusterError(
                f"machine {outcome.host} must be able to run trials, but cannot: {outcome.reason}; mend that or take "
                f"it out of the cluster, then type `prunefront resume {self._spec.study}`"
            )
        if item.kind is ItemKind.STAGE:
            self._finish_stage(item, outcome)
        else:
            assert proposal is not None
            del self._running[item.number]
            self._finish_trial(proposal, outcome, item.until)

    def _choose(self) -> WorkItem | None:
        self._withdraw_if_late()
        while True:
            self._halve()
            item = choose_item(
                [proposal.planned for proposal in self._waiting.values()],
                built=self._stages.built,
                running=self._stages.building,
            )
            if item is not None:
                return item
            if self._may_propose():
                self._propose()
            elif not (self._is_idle and self._rungs.waiting):
                return None

    def _halve(self) -> None:
        """Let trials go on from their rungs, and stop others, as far as that can be decided now."""
        verdicts = self._rungs.verdicts(is_last=self._is_idle)
        for number in verdicts.stop:
            proposal = self._rungs.release(number)
            self._tell(stopped_record(self._spec, proposal, self._rungs.why_stopped(proposal)))
        for number in verdicts.go_on:
            proposal = self._rungs.release(number)
            self._study.mark_gone_on(number, proposal.done)
            self._waiting[number] = proposal

    def _start(self, item: WorkItem) -> None:
        if item.kind is ItemKind.STAGE:
            self._stages.building.add(item.key)
        else:
            self._running[item.number] = self._waiting.pop(item.number)
            self._study.mark_started(item.number, item.key)
        self._listener.item_started(item)

    def _finish_stage(self, item: WorkItem, outcome: ItemOutcome) -> None:
        self._stages.finish(item, outcome)
        for proposal in list(self._waiting.values()):
            self._fail_if_broken(proposal)

    def _finish_trial(self, proposal: Proposal, outcome: ItemOutcome, until: int | None) -> None:
        status, reason = TrialStatus.FAILED, outcome.reason or "no reason given"
        if outcome.status is OutcomeStatus.COMPLETE:
            try:
                record = complete_record(self._spec, proposal, outcome)
            except ValueError as error:
                reason = str(error)
            else:
                if until is None:
                    self._tell(record)
                else:
                    self._reach(proposal, outcome, until)
                return
        elif outcome.status is OutcomeStatus.INFEASIBLE:
            status = TrialStatus.INFEASIBLE
        elif outcome.status is OutcomeStatus.NO_MEMORY and self._shrink(proposal):
            return
        self._end(proposal, status, reason, outcome)

    def _shrink(self, proposal: Proposal) -> bool:
        """Have a trial that ran out of memory run again with smaller batches, if it may and can."""
        smaller = self._tried.shrink(proposal)
        if smaller is None:
            return False
        self._waiting[proposal.asked.number] = smaller
        return True

    def _reach(self, proposal: Proposal, outcome: ItemOutcome, epochs: int) -> None:
        """Take in that a trial came to a rung; what follows is decided when a slot is free."""
        reached = ReachedRung(epochs=epochs, order=self._rungs.next_order(), outcome=outcome)
        number, scores = proposal.asked.number, rung_scores(reached)
        self._study.add_rung(number, reached)
        self._rungs.add(number, scores)
        self._rungs.hold(proposal.with_rung(reached))
        self._listener.rung_reached(number, scores)

    def _propose(self) -> None:
        """Ask for the next configuration, or the next batch of them."""
        self._ask()
        self._complete_batch()

    def _complete_batch(self) -> None:
        """Ask for what a batch lacks; no trial of it has been handed out yet."""
        if self._batch is None:
            return
        self._is_asking = True
        while self._num_asked % self._batch != 0 and self._may_propose():
            self._ask()
        self._is_asking = False

    def _ask(self) -> None:
        """Ask for one more configuration and take it up, unless it cannot or need not run."""
        if self._tried.is_everything:
            self._why_exhausted = f"all {self._spec.space.num_configurations:,} configurations were tried"
        else:
            self._num_asked += 1
            self._consider(self._study.ask())

    def _consider(self, asked: AskedTrial) -> None:
        proposal = self._plan(asked)
        if proposal is None:
            return
        key = proposal.plan.trial_key
        earlier = self._tried.find(key)
        if earlier is not None:
            self._num_repeated += 1
            if self._num_repeated > len(self._spec.points_to_try):
                times = counted(self._num_repeated, "time")
                self._why_exhausted = f"no configuration was proposed that is not tried yet, {times} in a row"
            self._study.refuse(asked.number, f"same configuration as trial {earlier}")
            return
        self._num_repeated = 0
        self._tried.add(key, asked.number)
        self._stages.find_built(proposal.plan)
        if asked.is_waiting:
            self._rungs.hold(proposal)
            return
        self._waiting[asked.number] = proposal
        self._end_if_infeasible(proposal)
        self._fail_if_broken(proposal)

    def _plan(self, asked: AskedTrial) -> Proposal | None:
        try:
            config, plan = self._tried.plan(asked.number, asked.values)
        except InvalidSettingsError as error:
            plan = TrialPlan(trial_key=f"invalid-{asked.number}", stages=())
            self._end(Proposal(asked=asked, config=self._spec.run, plan=plan), TrialStatus.FAILED, str(error))
            return None
        return Proposal(asked=asked, config=config, plan=plan, rungs=self._spec.rungs)

    def _end_if_infeasible(self, proposal: Proposal) -> None:
        try:
            self._backend.check(proposal.config)
        except InfeasibleBudgetsError as error:
            del self._waiting[proposal.asked.number]
            self._end(proposal, TrialStatus.INFEASIBLE, str(error))
            self._num_infeasible += 1
            if self._num_infeasible >= _MAX_INFEASIBLE_IN_A_ROW:
                self._why_exhausted = (
                    f"{self._num_infeasible} configurations in a row could not meet their budgets; "
                    "a new study could search higher ones"
                )
        else:
            self._num_infeasible = 0

    def _fail_if_broken(self, proposal: Proposal) -> None:
        reason = self._stages.why_broken(proposal.plan)
        if reason is not None and self._waiting.pop(proposal.asked.number, None) is not None:
            self._end(proposal, TrialStatus.FAILED, reason)

    def _end(
        self, proposal: Proposal, status: TrialStatus, reason: str, outcome: ItemOutcome | None = None
    ) -> None:
        now = time.time()
        self._tell(
            unfinished_record(
                self._spec,
                proposal,
                status,
                reason=reason,
                started_at=outcome.started_at if outcome is not None else now,
                finished_at=outcome.finished_at if outcome is not None else now,
            )
        )

    def _tell(self, record: TrialRecord) -> None:
        self._study.tell(record)
        self._tried.note_end(record)
        self._num_counted += record.status in COUNTED
        self._listener.trial_finished(record)

    @property
    def _is_idle(self) -> bool:
        """Whether nothing runs, is ready to run, or may be proposed; trials may wait at rungs."""
        return not (self._waiting or self._running or self._stages.building or self._may_propose())

    def _may_propose(self) -> bool:
        num_open = len(self._waiting) + len(self._running) + len(self._rungs.waiting)
        return (
            self._why_exhausted is None
            and not self._is_late()
            and len(self._waiting) < self._window
            and (self._batch is None or self._is_asking or num_open == 0)
            and self._num_counted + num_open < self._spec.limits.trials
        )

    def _is_late(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def _withdraw_if_late(self) -> None:
        """Once the time is up, let go of proposals that no worker ever had; interrupted ones are finished."""
        if not self._is_late():
            return
        for number, proposal in list(self._waiting.items()):
            if proposal.asked.started_at is None and proposal.done == 0:
                del self._waiting[number]
                self._tried.forget(proposal.plan.trial_key, number)
                self._study.refuse(number, "limits.hours passed before it started")
