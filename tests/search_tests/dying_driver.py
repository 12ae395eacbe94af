"""A driver that tells trials and may die on the way, and the one that takes its study up."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial

from reports.records import TrialRecord, TrialStatus
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.storage import read_storage
from search.studies.study import SearchStudy, open_search_study
from tests.reports_tests.synthetic import make_record
from tests.search_tests.synthetic_search import make_spec

WIDE: dict[str, Any] = {
    "budgets.macs": {"low": 0.3, "high": 0.9},
    "saliency.num_basis": {"choices": [1, 2, 4]},
    "loss_weights.steering": {"low": 0.01, "high": 10.0, "log": True},
}


def mortal_spec(**changes: Any) -> SearchSpec:
    """Return a spec whose trials have constraints and whose sampler learns."""
    return make_spec(search=WIDE, constraints={"params": "<= 10%"}, sampler={"name": "tpe"}, **changes)


def record_of(number: int, spec: SearchSpec, status: TrialStatus = TrialStatus.COMPLETE) -> TrialRecord:
    return make_record(number, status=status).model_copy(update={"study": spec.study})


def tell_trials(study: SearchStudy, spec: SearchSpec, num_trials: int) -> list[dict[str, Any]]:
    """Do what a driver does to its study, and return what was proposed."""
    study.note({"id": "x", "created_at": 0.0})
    values = []
    for _ in range(num_trials):
        asked = study.ask()
        values.append(dict(asked.values))
        study.mark_started(asked.number, f"key-{asked.number}")
        study.tell(_constrained(asked.number, spec))
    return values


def take_up(folder: StudyFolder, spec: SearchSpec, num_trials: int) -> list[FrozenTrial]:
    """Finish the trials of a study whose driver died, and return them as Optuna reads them."""
    resumed = open_search_study(folder, spec)
    for trial in [*resumed.adopt(), *resumed.finish_asking()]:
        resumed.tell(_constrained(trial.number, spec))
    while len(resumed.finished()) < num_trials:
        resumed.tell(record_of(resumed.ask().number, spec))
    return load_trials(folder)


def load_trials(folder: StudyFolder) -> list[FrozenTrial]:
    storage = read_storage(folder)
    assert storage is not None
    return optuna.load_study(study_name=folder.study, storage=storage).trials


def _constrained(number: int, spec: SearchSpec) -> TrialRecord:
    return record_of(number, spec).model_copy(update={"constraint_values": {"params": 0.3}})
