"""The series against a slow oracle: the front of every prefix, found anew."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import pytest

from reports.front_series import LADDER_PERCENT, FrontSeries
from reports.fronts import find_front, hypervolume, is_ranked
from reports.objectives import Direction
from reports.records import TrialRecord
from tests.reports_tests.synthetic import ACCURACY_AND_MACS, make_study, record_with, study_of

THREE = study_of([]).objectives


def series_of(records: Iterable[TrialRecord], objectives: Mapping[str, Direction]) -> list[dict[str, float]]:
    series = FrontSeries(objectives)
    return [series.add(record) for record in records]


@pytest.mark.parametrize("objectives", [THREE, ACCURACY_AND_MACS, {"accuracy": Direction.MAXIMIZE}])
def test_every_value_is_that_of_the_prefix(objectives: dict[str, Direction]) -> None:
    records = [
        *make_study(40).records,
        record_with(40, 0.9, 500_000, 50_000),
        record_with(41, 0.9, 500_000, 50_000),
    ]
    assert all(is_ranked(record, objectives) for record in records)
    for number, values in enumerate(series_of(records, objectives), start=1):
        prefix = study_of(records[:number]).model_copy(update={"objectives": objectives})
        assert values["front_size"] == len(find_front(prefix).points)
        assert values["hypervolume"] == pytest.approx(hypervolume(records[:number], objectives))


def within(records: list[TrialRecord]) -> dict[str, float]:
    *_, last = series_of(records, ACCURACY_AND_MACS)
    return {name: value for name, value in last.items() if name.startswith("best_accuracy")}


def test_a_step_of_the_ladder_counts_the_networks_that_cost_no_more() -> None:
    assert LADDER_PERCENT == (10, 25, 50, 75)
    records = [
        record_with(0, 0.9, 750_000, 1),
        record_with(1, 0.8, 250_001, 1),
        record_with(2, 0.7, 250_000, 1),
    ]
    assert within(records[:1]) == {"best_accuracy_within/macs_75_percent": 0.9, "best_accuracy": 0.9}
    assert within(records) == {
        "best_accuracy_within/macs_25_percent": 0.7,
        "best_accuracy_within/macs_50_percent": 0.8,
        "best_accuracy_within/macs_75_percent": 0.9,
        "best_accuracy": 0.9,
    }


def test_costs_that_are_no_objective_have_no_ladder() -> None:
    *_, last = series_of(make_study(20).records, THREE)
    steps = {name.split("/")[1] for name in last if "/" in name}
    assert {step.rsplit("_", 2)[0] for step in steps} == {"macs", "params"}


def test_ten_thousand_trials_take_no_quadratic_time() -> None:
    records = make_study(1000).records * 10
    started = time.perf_counter()
    assert len(series_of(records, THREE)) == 10_000
    assert time.perf_counter() - started < 10
