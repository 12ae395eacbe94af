"""The Optuna study of a search: the one truth about its trials. Only the process that holds the study writes it.

Optuna's states: COMPLETE; FAIL (with a reason, or refused: a configuration that was tried before); PRUNED (not
feasible, or stopped); RUNNING (proposed, interrupted or not). The full record of a finished trial is an
attribute of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from reports.objectives import OBJECTIVES
from reports.records import TrialRecord, TrialStatus
from search.sampling.per_trial_sampler import PerTrialSampler
from search.sampling.sampler_choice import SamplerChoice
from search.sampling.samplers import SAMPLERS, make_sampler
from search.spec import SearchSpec
from search.studies.earlier_trials import EarlierTrial, to_optuna
from search.studies.folder import StudyFolder
from search.studies.snapshot import (
    GONE_ON,
    KEY,
    RECORD,
    REFUSED,
    RUNG,
    STARTED_AT,
    VALUES,
    AskedTrial,
    ReachedRung,
    with_rungs,
)
from search.studies.storage import open_storage
from search.studies.view import BoundedHistory, StudyView
from spaces import Value
from spaces.priors import drawn_near

__all__ = [
    "AskedTrial",
    "ReachedRung",
    "SearchStudy",
    "new_study_in_memory",
    "open_search_study",
    "record_of",
]

_SAMPLER, _EARLIER = "sampler", "earlier_trials"

_STATES = {
    TrialStatus.COMPLETE: TrialState.COMPLETE,
    TrialStatus.STOPPED: TrialState.PRUNED,
    TrialStatus.INFEASIBLE: TrialState.PRUNED,
    TrialStatus.FAILED: TrialState.FAIL,
}


_NUM_NEAR_PRIORS = 10
"""Proposals that lie near the priors of the space; then samplers know how good these are."""

_ATTEMPTS_APART = 100
"""Attempts at one proposal have seeds of their own, away from those of first attempts."""


class SearchStudy:
    """Proposes configurations and keeps what became of them.

    Args:
        study: Opened by `open_search_study`.
        spec: Space, objectives and sampler.
        sync: Waits until all that was written is on the disk.
    """

    def __init__(self, study: optuna.Study, spec: SearchSpec, sync: Callable[[], None]) -> None:
        self._study = study
        self._sync = sync
        self._space = spec.space
        self._spec = spec
        self._task = spec.task
        noted = study.user_attrs.get(_SAMPLER)
        self._choice = spec.sampler_choice if noted is None else SamplerChoice.from_plain(noted)
        self._read_earlier()
        self.avoid(_never)
        self._live: dict[int, optuna.Trial] = {}
        self._begun: list[optuna.Trial] = []

    @property
    def sampler(self) -> SamplerChoice:
        """Which sampler proposes: what was noted when the study began, so that a resumed one goes on as it began."""
        return self._choice

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What was noted about the study when it began: id, created_at, version, machine, sampler, facts."""
        return self._study.user_attrs

    def note(self, attributes: Mapping[str, Any]) -> None:
        """Note facts about the study that are not noted yet."""
        known = self._study.user_attrs
        for name, value in attributes.items():
            if name not in known:
                self._study.set_user_attr(name, value)

    def learn_from(self, read: Callable[[], Sequence[EarlierTrial]]) -> None:
        """Let samplers see trials of earlier studies, as these were when the study began; they are no trials of it."""
        if _EARLIER not in self._study.user_attrs:
            self.note({_EARLIER: [trial.to_plain() for trial in read()]})
            self._read_earlier()

    def finished(self) -> list[TrialRecord]:
        """Return the records of all finished trials in the order they were told; refused proposals have none."""
        trials = self._study.get_trials(deepcopy=False)
        return _records_in_order(trial for trial in trials if trial.state.is_finished())

    @property
    def num_asked(self) -> int:
        """How many configurations were proposed so far, whatever became of them."""
        return sum(trial.state is not TrialState.WAITING for trial in self._study.get_trials(deepcopy=False))

    def adopt(self) -> list[AskedTrial]:
        """Return the trials that an earlier driver proposed and left unfinished; they keep their numbers.

        One whose record was written but not told is told now. What it had only begun to propose, `finish_asking` does.
        """
        adopted = []
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._live[frozen.number] = optuna.Trial(self._study, frozen._trial_id)
            if RECORD in frozen.user_attrs:
                self.tell(_record_of(frozen))
                continue
            if VALUES not in frozen.user_attrs:
                self._begun.append(self._live[frozen.number])
                continue
            proposal = self._complete_proposal(self._live[frozen.number], frozen.user_attrs.get(STARTED_AT))
            adopted.append(with_rungs(proposal, frozen.user_attrs))
        return adopted

    def finish_asking(self) -> list[AskedTrial]:
        """Propose for the trials that were only begun, when it is known what to `avoid`; empty the second time."""
        begun, self._begun = self._begun, []
        return [self._complete_proposal(trial, None) for trial in begun]

    def enqueue_first(self, points: Sequence[Mapping[str, Value]]) -> None:
        """Have these points, complete or partial, proposed before any other; nothing happens the second time."""
        for point in points:
            self._study.enqueue_trial(dict(point), skip_if_exists=True)

    def ask(self) -> AskedTrial:
        """Propose a configuration, untried if there is one; it depends on the history and the trial's number alone."""
        trial = self._study.ask()
        self._live[trial.number] = trial
        return self._complete_proposal(trial, None)

    def avoid(self, is_tried: Callable[[Mapping[str, Value]], bool]) -> None:
        """From now on, do not propose configurations of which this is true."""
        self._study.sampler = PerTrialSampler(
            self._space, self._make_sampler, is_tried, self._view, self._near_priors
        )

    def mark_started(self, number: int, trial_key: str) -> None:
        """Note that a worker got the trial."""
        trial = self._live[number]
        if STARTED_AT not in trial.user_attrs:
            trial.set_user_attr(KEY, trial_key)
            trial.set_user_attr(STARTED_AT, time.time())

    def add_rung(self, number: int, reached: ReachedRung) -> None:
        """Keep what a trial reached; nothing is decided about it yet."""
        name = f"{RUNG}{reached.epochs}"
        self._live[number].set_user_attr(
            name, {"order": reached.order, "outcome": reached.outcome.to_plain()}
        )

    def mark_gone_on(self, number: int, epochs: int) -> None:
        """Keep the decision that a trial goes on after a rung."""
        self._live[number].set_user_attr(f"{GONE_ON}{epochs}", value=True)

    def tell(self, record: TrialRecord) -> None:
        """Finish a trial; the record is written first, so that a crash in between loses nothing."""
        trial = self._live.pop(record.number)
        if RECORD not in trial.user_attrs:
            trial.set_user_attr(RECORD, record.model_dump(mode="json"))
        known = trial.storage.get_trial(trial._trial_id).constraints
        for name, value in _constraints_of(record).items():
            if name not in known:
                trial.set_constraint(name, value)
        state = _STATES[record.status]
        values = self._objective_values(record) if state is TrialState.COMPLETE else None
        self._study.tell(trial, values, state)
        self._sync()

    def refuse(self, number: int, reason: str) -> None:
        """Finish a proposal that will not run and does not count, such as a configuration that was tried before."""
        trial = self._live.pop(number)
        trial.set_user_attr(REFUSED, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def _near_priors(self, number: int, attempt: int) -> Mapping[str, Value]:
        """Return values near what the user believes in, for the first proposals."""
        if number >= _NUM_NEAR_PRIORS:
            return {}
        rng = np.random.default_rng([self._spec.sampler.seed % 2**32, number, attempt])
        return drawn_near(self._space.distributions, self._space.priors, rng)

    def _make_sampler(self, number: int, attempt: int | None) -> BaseSampler:
        seed = self._spec.sampler.seed
        if attempt is None:
            return make_sampler("random", self._task, seed, -_ATTEMPTS_APART * (number + 1))
        proposal = number if attempt == 0 else -_ATTEMPTS_APART * (number + 1) - attempt
        return make_sampler(self._choice.name, self._task, seed, proposal)

    def _read_earlier(self) -> None:
        noted = self._study.user_attrs.get(_EARLIER, ())
        self._earlier = to_optuna([EarlierTrial.from_plain(plain) for plain in noted], self._space)
        self._history = BoundedHistory(SAMPLERS[self._choice.name].max_history, _is_refused)

    def _view(self, study: optuna.Study) -> StudyView:
        """Show samplers what they may learn from."""

        def choose() -> Sequence[FrozenTrial]:
            trials = [*self._earlier, *study.get_trials(deepcopy=False)]
            return self._history.shown(trials, study.directions)

        return StudyView(study, choose)

    def _complete_proposal(self, trial: optuna.Trial, started_at: float | None) -> AskedTrial:
        values = trial.user_attrs.get(VALUES)
        if values is None:
            values = self._space.suggest(trial)
            trial.set_user_attr(VALUES, values)
        return AskedTrial(number=trial.number, values=values, started_at=started_at)

    def _objective_values(self, record: TrialRecord) -> list[float]:
        assert record.scores is not None
        values = [OBJECTIVES[name].value(record.scores) for name in self._spec.objectives]
        return [float(value) for value in values if value is not None]


def open_search_study(
    folder: StudyFolder, spec: SearchSpec, ensure_held: Callable[[], object] = lambda: None
) -> SearchStudy:
    """Open the study for writing, or begin it; only for the process that holds it.

    Args:
        folder: Of the study.
        spec: As it was launched.
        ensure_held: Called before anything is written over a new connection; raises if the study is not held any more.

    Raises:
        StorageError: The journal or the database cannot be written.
    """
    opened = open_storage(folder, spec, ensure_held)
    study = optuna.create_study(
        study_name=spec.study,
        storage=opened.storage,
        directions=[direction.value for direction in spec.objectives.values()],
        load_if_exists=True,
    )
    return SearchStudy(study, spec, opened.sync)


def new_study_in_memory(spec: SearchSpec) -> SearchStudy:
    """Begin a study that ends with this process."""
    study = optuna.create_study(directions=[direction.value for direction in spec.objectives.values()])
    return SearchStudy(study, spec, lambda: None)


def _never(_: Mapping[str, Value]) -> bool:
    return False


def record_of(trial: FrozenTrial) -> TrialRecord | None:
    """Return what became of a trial; None while it runs, and of a refused proposal."""
    written = trial.user_attrs.get(RECORD)
    return None if written is None else TrialRecord.model_validate(written)


def _is_refused(trial: FrozenTrial) -> bool:
    return REFUSED in trial.user_attrs


def _record_of(trial: FrozenTrial) -> TrialRecord:
    record = record_of(trial)
    assert record is not None
    return record


def _records_in_order(trials: Iterable[FrozenTrial]) -> list[TrialRecord]:
    """Return the records that trials have in the order they were told; one that was only written comes last."""
    recorded = [trial for trial in trials if RECORD in trial.user_attrs]
    recorded.sort(key=lambda trial: (trial.datetime_complete or datetime.max, trial.number))
    return [_record_of(trial) for trial in recorded]


def _constraints_of(record: TrialRecord) -> dict[str, float]:
    """Return Optuna's constraints, satisfied when <= 0; budgets are one of them."""
    if record.status is TrialStatus.INFEASIBLE:
        return {"budgets": 1.0}
    if record.scores is None:
        return {}
    overshoot = max((use - 1.0 for use in record.budget_use.values()), default=0.0)
    return {"budgets": overshoot, **record.constraint_values}
