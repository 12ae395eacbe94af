"""Searches whose trials pause at rungs, over the synthetic backend."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from reports.fronts import find_front
from reports.records import TrialRecord, TrialStatus
from search.early_stopping.halving import HALVINGS
from search.spec import SearchSpec
from search.studies.records import read_study
from search.work_items import ItemKind
from tests.search_tests.synthetic_backend import (
    CRASHES_AT_THE_END,
    NOT_A_NUMBER,
    times_run,
)
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec

RULES = [name for name, rule in HALVINGS.items() if rule is not None]
WIDE: dict[str, Any] = {
    "budgets.macs": {"low": 0.3, "high": 0.9},
    "saliency.num_basis": {"choices": [1, 2, 4]},
}
EPOCHS, RUNGS = 9, (1, 3)


def halving_spec(rule: str, *, trials: int = 20, **changes: Any) -> SearchSpec:
    run = {
        "budgets": {"macs": 0.5},
        "gates": {"steps": 1},
        "saliency": {"selector": {"epochs": 1}},
        "fine_tuning": {"epochs": EPOCHS},
    }
    return make_spec(
        **{
            "search": WIDE,
            "run": run,
            "halving": {"rule": rule},
            "limits": {"trials": trials},
            **changes,
        }
    )


def path_of(record: TrialRecord) -> tuple[object, ...]:
    """What a trial was decided to do; times differ."""
    return (
        record.varied,
        record.status,
        record.reason,
        [(rung.epochs, rung.order, rung.scores) for rung in record.rungs],
    )


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_trials_climb_rung_by_rung_until_they_are_stopped_or_complete(
    tmp_path: Path, rule: str, slots: int
) -> None:
    spec = halving_spec(rule)
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=slots)
    search.run()
    assert spec.rungs == RUNGS
    parts = defaultdict(list)
    for item in search.handed_out:
        if item.kind is ItemKind.TRIAL:
            parts[item.number].append(item.until)
    whole = [*RUNGS, None]
    for record in search.records:
        climbed = [rung.epochs for rung in record.rungs]
        assert climbed == list(RUNGS[: len(climbed)])
        assert parts[record.number] == whole[: len(climbed) + (record.status is TrialStatus.COMPLETE)]
    assert len(search.records) == 20
    assert set(times_run(folder.artifacts_path).values()) == {1}
    assert search.proposer.is_finished


def test_all_means_that_nobody_is_stopped(tmp_path: Path) -> None:
    spec = halving_spec("all")
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert {record.status for record in search.records} == {TrialStatus.COMPLETE}
    assert Counter(rung.epochs for _, rung in search.rungs) == {1: 20, 3: 20}


@pytest.mark.parametrize("rule", ["stopping", "promotion"])
def test_halving_ends_most_trials_early_and_shows_none_of_them_on_the_front(
    tmp_path: Path, rule: str
) -> None:
    spec = halving_spec(rule, trials=27)
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=2)
    search.run()
    statuses = Counter(record.status for record in search.records)
    assert statuses[TrialStatus.STOPPED] > 13
    assert 1 <= statuses[TrialStatus.COMPLETE] <= 9
    reached = Counter(rung.epochs for _, rung in search.rungs)
    assert reached[1] == 27
    assert statuses[TrialStatus.COMPLETE] <= reached[3] < 18
    study = read_study(folder)
    stopped = [record for record in study.records if record.status is TrialStatus.STOPPED]
    members = {record.number for record in find_front(study).members}
    assert members
    assert not members & {record.number for record in stopped}
    for record in stopped:
        last = record.rungs[-1].epochs
        assert record.reason == f"not among the best 1/3 of its rung after {last} of 9 epochs"
        assert record.scores is None
        assert record.stage_seconds
    states = {trial.number: trial for trial in search.study._study.get_trials()}
    assert {states[record.number].state for record in stopped} == {TrialState.PRUNED}


def test_a_rung_is_worse_than_the_end(tmp_path: Path) -> None:
    spec = halving_spec("all", trials=3)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    for record in search.records:
        assert record.scores is not None
        on_the_way = [rung.scores for rung in record.rungs]
        accuracies = [*(scores.accuracy for scores in on_the_way), record.scores.accuracy]
        assert accuracies == sorted(accuracies)
        assert {scores.macs for scores in on_the_way} == {record.scores.macs}


@pytest.mark.parametrize("rule", RULES)
def test_a_search_of_few_trials_ends_with_a_network(tmp_path: Path, rule: str) -> None:
    spec = halving_spec(rule, trials=2)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert TrialStatus.COMPLETE in {record.status for record in search.records}


@pytest.mark.parametrize("sampler", ["random", "tpe", "known_costs"])
@pytest.mark.parametrize("rule", RULES)
def test_a_resumed_search_takes_the_same_decisions(tmp_path: Path, rule: str, sampler: str) -> None:
    spec = halving_spec(rule, trials=12, sampler={"name": sampler})
    undisturbed = SyntheticSearch(spec, make_folder(tmp_path / "a", spec), slots=1)
    undisturbed.run()
    folder = make_folder(tmp_path / "b", spec)
    for num_steps in (4, 1, 2, 5, 1, 1, 3, 6):
        killed = SyntheticSearch(spec, folder, slots=1)
        killed.run(num_steps)
        killed.fill_slots()  # it dies while an item runs
    resumed = SyntheticSearch(spec, folder, slots=1)
    resumed.run()
    expected, came = (
        {record.number: path_of(record) for record in search.study.finished()}
        for search in (undisturbed, resumed)
    )
    assert came == expected
    assert set(times_run(folder.artifacts_path).values()) == {1}


@pytest.mark.parametrize("num_steps", [3, 8, 13, 21, 30])
@pytest.mark.parametrize("rule", RULES)
def test_a_driver_that_dies_loses_and_repeats_nothing(tmp_path: Path, rule: str, num_steps: int) -> None:
    spec = halving_spec(rule, trials=12)
    folder = make_folder(tmp_path, spec)
    killed = SyntheticSearch(spec, folder, slots=3)
    killed.run(num_steps)
    known = [(number, rung.epochs, rung.order) for number, rung in killed.rungs]
    resumed = SyntheticSearch(spec, folder, slots=3, seed=1)
    resumed.run()
    records = resumed.study.finished()
    assert len(records) == 12
    orders = [rung.order for record in records for rung in record.rungs]
    assert sorted(orders) == list(range(len(orders)))
    recorded = {(record.number, rung.epochs, rung.order) for record in records for rung in record.rungs}
    assert set(known) <= recorded
    assert set(times_run(folder.artifacts_path).values()) == {1}
    assert not resumed.study.adopt()


def test_trials_that_wait_at_rungs_are_shown_with_what_they_reached(tmp_path: Path) -> None:
    spec = halving_spec("promotion", trials=12)
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=2)
    search.run(12)
    running = [record for record in read_study(folder).records if record.status is TrialStatus.RUNNING]
    assert {record.number for record in running if record.rungs} == {number for number, _ in search.rungs} - {
        record.number for record in search.records
    }


@pytest.mark.parametrize(
    ("seed", "num_rungs", "reason"),
    [
        (NOT_A_NUMBER, 0, "the worker's result is not valid: explanation_distance"),
        (CRASHES_AT_THE_END, 2, "the loss of stage 'fine_tune' must be finite"),
    ],
)
def test_a_trial_that_fails_keeps_what_it_had_reached(
    tmp_path: Path, seed: int, num_rungs: int, reason: str
) -> None:
    spec = halving_spec("all", search={"seed": {"choices": [0, seed]}})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    (failed,) = [record for record in search.records if record.status is TrialStatus.FAILED]
    assert failed.seed == seed
    assert failed.reason is not None
    assert failed.reason.startswith(reason)
    assert len(failed.rungs) == num_rungs


def test_once_the_time_is_up_trials_that_began_end_by_the_rule_and_none_begins(tmp_path: Path) -> None:
    spec, now = halving_spec("promotion", trials=50), [0.0]
    search = SyntheticSearch(
        spec, make_folder(tmp_path, spec), slots=2, time_limit_s=10.0, clock=lambda: now[0]
    )
    search.run(15)
    begun = {item.number for item in search.handed_out if item.kind is ItemKind.TRIAL}
    now[0] = 11.0
    search.run()
    assert {item.number for item in search.handed_out if item.kind is ItemKind.TRIAL} == begun
    assert {record.number for record in search.records} == begun
    assert {record.status for record in search.records} == {TrialStatus.COMPLETE, TrialStatus.STOPPED}
    assert not search.study.adopt()


def test_the_promotion_rule_lets_the_furthest_go_on_before_anything_new_starts(tmp_path: Path) -> None:
    spec = halving_spec("promotion", trials=9)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec), slots=1)
    search.run()
    order = [(item.number, item.until) for item in search.handed_out if item.kind is ItemKind.TRIAL]
    assert [until for _, until in order[:4]] == [1, 1, 1, 3]  # of three, one goes on
    assert order[3][0] in {number for number, _ in order[:3]}
