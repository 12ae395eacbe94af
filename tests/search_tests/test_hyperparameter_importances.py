"""PED-ANOVA on trials of which it is known what mattered."""

from __future__ import annotations

import logging

import pytest

from reports.fronts import scores_of
from reports.records import StudyRecords, TrialRecord
from search.hyperparameter_importances import LEAST_TRIALS, hyperparameter_importances
from search.spec import SearchSpec
from tests.reports_tests.synthetic import make_record, make_study, study_of

SPEC = SearchSpec.model_validate(
    {
        "study": "demo",
        "search": {
            "budgets.macs": {"low": 0.1, "high": 0.9},
            "loss_weights.steering": {"low": 0.1, "high": 0.9, "when": {"method": "interpretation_steered"}},
            "method": {"choices": ["interpretation_steered", "l1"]},
        },
    }
)


def trial(number: int, *, accuracy: float, macs: int) -> TrialRecord:
    """Accuracy follows the steering weight, MACs follow the budget."""
    record = make_record(number)
    scores = scores_of(record)
    varied = {
        "budgets.macs": macs / 1000,
        "loss_weights.steering": accuracy,
        "method": "interpretation_steered",
    }
    update = {"num_correct_fine_tuned": round(accuracy * scores.num_images), "macs": macs}
    return record.model_copy(
        update={"varied": varied, "scores": scores.model_copy(update=update), "limits": {}}
    )


def study(num_trials: int) -> StudyRecords:
    records = [
        trial(number, accuracy=0.1 + 0.8 * (7 * number % 50) / 50, macs=100 + 16 * (11 * number % 50))
        for number in range(num_trials)
    ]
    return study_of(records)


def test_each_objective_is_owed_to_the_field_that_makes_it() -> None:
    found = hyperparameter_importances(SPEC, study(50))
    assert set(found) == {"accuracy", "macs", "params"}
    assert max(found["accuracy"], key=lambda name: found["accuracy"][name]) == "loss_weights.steering"
    assert max(found["macs"], key=lambda name: found["macs"][name]) == "budgets.macs"
    assert found["accuracy"]["loss_weights.steering"] > 0.6
    assert found["macs"]["budgets.macs"] > 0.6
    for row in found.values():
        assert sum(row.values()) == pytest.approx(1)
        assert all(share >= 0 for share in row.values())


def test_the_same_trials_give_the_same_importances() -> None:
    assert hyperparameter_importances(SPEC, study(50)) == hyperparameter_importances(SPEC, study(50))


def test_few_trials_tell_nothing() -> None:
    assert hyperparameter_importances(SPEC, study(LEAST_TRIALS - 1)) == {}
    assert hyperparameter_importances(SPEC, study(LEAST_TRIALS)) != {}
    assert hyperparameter_importances(SPEC, make_study(0)) == {}


def test_fields_that_exist_in_some_trials_only_are_weighed_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    records = list(study(40).records)
    records[::2] = [
        record.model_copy(update={"varied": {"budgets.macs": record.varied["budgets.macs"], "method": "l1"}})
        for record in records[::2]
    ]
    found = hyperparameter_importances(SPEC, study_of(records))
    assert set(found["accuracy"]) == {"budgets.macs", "loss_weights.steering", "method"}
