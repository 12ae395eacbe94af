"""Copies of studies in memory, for programs that want an Optuna storage: whatever they do to it, no study changes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial

from reports.records import TrialRecord, to_metrics, to_tags
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.storage import read_storage
from search.studies.study import record_of

__all__ = ["copy_studies"]


def copy_studies(folders: Iterable[StudyFolder]) -> BaseStorage:
    """Return a storage with the studies that have begun, in the order given; others may be writing them.

    Objectives are named. Trials keep their numbers, times, parameters and values; of a trial's record there is what
    MLflow shows of it, instead of the whole.
    """
    storage = InMemoryStorage()
    for folder in folders:
        kept = read_storage(folder)
        if kept is None or folder.study not in optuna.get_all_study_names(kept):
            continue
        original = optuna.load_study(study_name=folder.study, storage=kept)
        study_id = storage.create_new_study(original.directions, folder.study)
        names = list(load_spec(folder.spec_path).objectives)
        storage.set_study_system_attr(study_id, "study:metric_names", names)  # what `set_metric_names` sets
        for name, fact in original.user_attrs.get("facts", {}).items():
            storage.set_study_user_attr(study_id, name, fact)
        for trial in original.get_trials(deepcopy=False):
            storage.create_new_trial(study_id, template_trial=_shown(trial))
    return storage


def _shown(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    record = record_of(trial)
    shown.user_attrs = {} if record is None else _summary(record)
    return shown


def _summary(record: TrialRecord) -> dict[str, Any]:
    metrics = {name: value for name, value in to_metrics(record).items() if "/" not in name}  # no stages
    tags = to_tags(record, front_rank=None, on_front=False)
    del tags["pareto.front"]  # the dashboard draws its own front
    return {**tags, **metrics}
