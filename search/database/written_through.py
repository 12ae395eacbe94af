"""A study in a database with one writer: what it has read or written once it need not ask for again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

__all__ = ["WrittenThrough"]


class WrittenThrough(InMemoryStorage):
    """One study of a database in memory; each change goes to the database first.

    Ids in memory are not those of the database: a trial's is its number.

    Args:
        database: Where the study is, or will be; nobody else writes it.
        name: Of the study.
    """

    def __init__(self, database: RDBStorage, name: str) -> None:
        super().__init__()
        self._database = database
        self._database_id: int | None = None
        self._trial_ids: list[int] = []
        try:
            self._database_id = database.get_study_id_from_name(name)
        except KeyError:
            return  # it begins
        self._read(name, self._database_id)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Begin the study.

        Raises:
            DuplicatedStudyError: It has begun.
        """
        if self._database_id is not None:
            raise DuplicatedStudyError
        self._database_id = self._database.create_new_study(directions, study_name)
        return super().create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Refuse: nobody who writes a study deletes it."""
        raise NotImplementedError(f"study {study_id} is not deleted while it is written")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep what a user notes about the study."""
        self._database.set_study_user_attr(self._study, key, value)
        super().set_study_user_attr(study_id, key, _as_read(value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep what Optuna notes about the study."""
        self._database.set_study_system_attr(self._study, key, value)
        super().set_study_system_attr(study_id, key, _as_read(value))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin a trial; returns its number."""
        self._trial_ids.append(self._database.create_new_trial(self._study, template_trial))
        return super().create_new_trial(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Keep a parameter's value."""
        self._database.set_trial_param(
            self._trial_ids[trial_id], param_name, param_value_internal, distribution
        )
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Keep a trial's state, and its values if it ends with some; False: another process was quicker."""
        if not self._database.set_trial_state_values(self._trial_ids[trial_id], state, values):
            return False
        return super().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Keep a value on the way."""
        self._database.set_trial_intermediate_value(self._trial_ids[trial_id], step, intermediate_value)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what a user notes about a trial."""
        self._database.set_trial_user_attr(self._trial_ids[trial_id], key, value)
        super().set_trial_user_attr(trial_id, key, _as_read(value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what Optuna notes about a trial."""
        self._database.set_trial_system_attr(self._trial_ids[trial_id], key, value)
        super().set_trial_system_attr(trial_id, key, _as_read(value))

    @property
    def _study(self) -> int:
        assert self._database_id is not None, "created before anything is written"
        return self._database_id

    def _read(self, name: str, database_id: int) -> None:
        study_id = super().create_new_study(self._database.get_study_directions(database_id), name)
        for key, value in self._database.get_study_user_attrs(database_id).items():
            super().set_study_user_attr(study_id, key, value)
        for key, value in self._database.get_study_system_attrs(database_id).items():
            super().set_study_system_attr(study_id, key, value)
        trials = self._database.get_all_trials(database_id, deepcopy=False)
        for trial in sorted(trials, key=lambda one: one.number):
            self._trial_ids.append(trial._trial_id)
            super().create_new_trial(study_id, trial)


def _as_read(value: Any) -> Any:
    """Return a value as a process reads it that comes later."""
    return json.loads(json.dumps(value))
