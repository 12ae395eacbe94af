"""Fronts, ranks, hypervolumes and picks of any networks, against slow oracles, moocore and Optuna."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations
from typing import Any, TypeVar

import moocore
import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from reports.fronts import (
    distinct,
    find_front,
    front_ranks,
    hypervolume,
    non_dominated,
    normalised_losses,
    ranks,
)
from reports.objectives import Direction
from reports.pick_limits import parse_limits
from reports.picks import NoPick, Pick, pick
from reports.records import StudyRecords, TrialRecord
from reports.scores import NetworkScores
from tests.reports_tests.synthetic import is_close, record_with, study_of

MANY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
COSTS = ("macs", "params", "activation_memory", "latency_ms")
GRID = 5  # few different values: ties and duplicates are the rule
ONE = record_with(0, 0.9, 500, 50)

Rows = list[tuple[int, ...]]
Test = TypeVar("Test", bound=Callable[..., None])


def any_rows(least: int = 1, most: int = 5) -> st.SearchStrategy[Rows]:
    """Up to 12 rows of ``least`` to ``most`` objectives; smaller is better."""

    def rows(num_objectives: int) -> st.SearchStrategy[Rows]:
        row = st.tuples(*[st.integers(1, GRID)] * num_objectives)
        return st.lists(row, min_size=1, max_size=12)

    return st.integers(least, most).flatmap(rows)


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def network(number: int, row: Sequence[int]) -> TrialRecord:
    """A network whose normalised losses are the row / (GRID + 1): the accuracy's first, then its costs."""
    dense = 60 * (GRID + 1)
    costs = dict.fromkeys(("macs", "params"), dense)  # as dear as the dense network where nothing is said
    costs |= {f"dense_{name}": dense for name in COSTS}
    costs |= {name: 60 * value for name, value in zip(COSTS, row[1:], strict=False)}
    correct = 60 - 10 * row[0]
    scores = NetworkScores(
        num_images=60,
        num_correct_dense=57,
        num_correct_after_removal=correct,
        num_correct_fine_tuned=correct,
        **costs,
    )
    return ONE.model_copy(update={"number": number, "scores": scores})


def study_of_rows(rows: Rows) -> StudyRecords:
    names = ("accuracy", *COSTS)[: len(rows[0])]
    directions = {name: Direction.MINIMIZE if name in COSTS else Direction.MAXIMIZE for name in names}
    study = study_of([network(number, row) for number, row in enumerate(rows)])
    return study.model_copy(update={"objectives": directions})


@MANY
@given(any_rows())
def test_the_front_is_what_nothing_dominates(rows: Rows) -> None:
    front = find_front(study_of_rows(rows))
    wanted = {index for index, row in enumerate(rows) if not any(dominates(other, row) for other in rows)}
    assert {record.number for record in front.members} == wanted
    assert sorted(tuple(rows[record.number]) for record in front.points) == sorted({rows[i] for i in wanted})


@MANY
@given(any_rows())
def test_ranks_peel_front_after_front(rows: Rows) -> None:
    left = dict(enumerate(rows))
    wanted: dict[int, int] = {}
    for rank in range(1, len(rows) + 1):
        peeled = [i for i, row in left.items() if not any(dominates(other, row) for other in left.values())]
        wanted |= dict.fromkeys(peeled, rank)
        left = {i: row for i, row in left.items() if i not in peeled}
    assert front_ranks(study_of_rows(rows)) == wanted


@settings(MANY, max_examples=20)
@given(any_rows(least=2))
def test_the_front_is_optunas(rows: Rows) -> None:
    study = study_of_rows(rows)
    theirs = optuna.create_study(directions=[direction.value for direction in study.objectives.values()])
    for row in rows:
        values = [-row[0], *row[1:]]
        theirs.add_trial(optuna.trial.create_trial(values=[float(value) for value in values]))
    assert {trial.number for trial in theirs.best_trials} == {r.number for r in find_front(study).members}


def volume_by_inclusion_and_exclusion(losses: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Sum the boxes' volumes, minus the intersections of two, plus those of three, and so on."""
    total = 0.0
    for size in range(1, len(losses) + 1):
        sign = 1 if size % 2 else -1
        total += sign * sum(
            float(np.prod(1 - reduce(np.maximum, chosen))) for chosen in combinations(losses, size)
        )
    return total


@MANY
@given(any_rows())
def test_the_hypervolume_is_that_of_the_union_of_boxes(rows: Rows) -> None:
    study = study_of_rows(rows[:6])
    losses = normalised_losses(study.records, study.objectives)
    assert np.allclose(losses, np.array(rows[:6]) / (GRID + 1))
    found = hypervolume(study.records, study.objectives)
    reference = np.ones(losses.shape[1])
    assert is_close(found, volume_by_inclusion_and_exclusion(losses))
    assert is_close(found, moocore.hypervolume(losses, ref=reference))
    assert is_close(found, compute_hypervolume(losses, reference))


@MANY
@given(any_rows(), st.data())
def test_more_networks_never_cover_less_and_dominated_ones_add_nothing(
    rows: Rows, data: st.DataObject
) -> None:
    study = study_of_rows(rows)
    whole = hypervolume(study.records, study.objectives)
    shuffled = data.draw(st.permutations(study.records))
    assert is_close(hypervolume(shuffled, study.objectives), whole)
    assert hypervolume(shuffled[1:], study.objectives) <= whole + 1e-12
    front = find_front(study)
    assert is_close(hypervolume(front.points, study.objectives), whole)


@pytest.mark.parametrize("function", [non_dominated, ranks])
@pytest.mark.parametrize("num_objectives", [1, 2, 5])
def test_a_value_that_is_no_number_is_refused(function: Callable[..., Any], num_objectives: int) -> None:
    values = np.ones((3, num_objectives))
    values[1, -1] = np.nan
    with pytest.raises(ValueError, match="objective values must be numbers, but row 1 has NaN"):
        function(values, [Direction.MINIMIZE] * num_objectives)


@MANY
@given(any_rows(least=2, most=2))
def test_no_network_bends_further_than_the_knee(rows: Rows) -> None:
    study = study_of_rows(rows)
    front = find_front(study)
    found = pick(front, "knee")
    assert isinstance(found, Pick)
    assert found.record in front.members
    places = {record.number: rows[record.number] for record in front.points}
    best, cheapest = min(places.values()), max(places.values())
    if best == cheapest:
        return
    span = (cheapest[0] - best[0], cheapest[1] - best[1])

    def below_chord(row: tuple[int, ...]) -> float:
        """Return the distance from the line through both ends, in the square that they span."""
        return 1 - (row[0] - best[0]) / span[0] - (row[1] - cheapest[1]) / -span[1]

    knee = below_chord(rows[found.record.number])
    assert all(below_chord(row) <= knee + 1e-9 for row in places.values())


@MANY
@given(any_rows(least=3, most=3), st.integers(1, GRID), st.integers(1, GRID), st.integers(0, GRID))
def test_a_pick_is_within_its_limits_and_nothing_within_is_more_accurate(
    rows: Rows, max_macs: int, max_params: int, max_loss: int
) -> None:
    study = study_of_rows(rows)
    limits = parse_limits(
        max_macs=60 * max_macs, max_params=60 * max_params, min_accuracy=1 - max_loss / (GRID + 1) - 1e-9
    )
    fitting = [row for row in rows if row[0] <= max_loss and row[1] <= max_macs and row[2] <= max_params]
    found = pick(study, "best_under", limits)
    if not fitting:
        assert isinstance(found, NoPick)
        assert len(found.nearest) == min(3, len(distinct(study.records, study.objectives)))
        return
    assert isinstance(found, Pick)
    assert rows[found.record.number] == min(fitting)
