from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.fronts import ranks
from reports.objectives import Direction
from search.early_stopping.growing_ranks import GrowingRanks
from search.early_stopping.halving import HALVINGS, RungState
from search.early_stopping.rung import Rung, RungResult

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def make_values(kind: str, num_columns: int, num_rows: int = 250) -> NDArray[np.float64]:
    rng = np.random.default_rng(num_columns)
    spread = rng.random((num_rows, num_columns))
    if kind == "ties":
        return np.floor(6 * spread)
    return rng.random((num_rows, 1)) + 0.01 * spread if kind == "aligned" else spread


@pytest.mark.parametrize("kind", ["random", "ties", "aligned"])
@pytest.mark.parametrize("num_columns", [1, 2, 3, 4])
def test_ranks_of_rows_that_come_one_by_one_are_those_of_a_sort(kind: str, num_columns: int) -> None:
    values = make_values(kind, num_columns)
    directions = [DOWN if kind == "aligned" or column % 2 else UP for column in range(num_columns)]
    growing = GrowingRanks(directions)
    for num_rows, row in enumerate(values, 1):
        growing.add(row)
        np.testing.assert_array_equal(growing.of_first(num_rows), ranks(values[:num_rows], directions))


def test_it_may_be_asked_for_any_number_of_rows_at_any_time() -> None:
    values, directions = make_values("ties", 3), [UP, DOWN, DOWN]
    growing = GrowingRanks(directions)
    for row in values:
        growing.add(row)
    for num_rows in (1, 3, 200, 201, 40, 250, 0):
        np.testing.assert_array_equal(growing.of_first(num_rows), ranks(values[:num_rows], directions))
    assert len(growing) == 250


@pytest.mark.parametrize("num_before", [0, 3, 60])
def test_what_is_no_number_is_refused(num_before: int) -> None:
    growing = GrowingRanks([UP, DOWN])
    for row in [*make_values("random", 2)[:num_before], np.array([0.5, np.nan])]:
        growing.add(row)
    with pytest.raises(ValueError, match=f"row {num_before} has NaN"):
        growing.of_first(num_before + 1)


@pytest.mark.parametrize("rule", ["stopping", "promotion", "hyperband"])
def test_a_decision_among_ten_thousand_sorts_no_rung_anew(rule: str) -> None:
    """Measured against one sort of the rung in the same process, so that a busy machine does not matter."""
    halving = HALVINGS[rule]
    assert halving is not None
    rng = np.random.default_rng(0)
    rung = Rung([UP, DOWN, DOWN])
    brackets = [{1: rung}] if not halving.has_brackets else [{1: rung}, {1: Rung([UP, DOWN, DOWN])}]
    state = RungState(brackets=brackets, eta=3)
    values = rng.random((10_000, 3))

    def seconds_for(numbers: range) -> float:
        began = time.process_time()
        for number in numbers:
            rung.add(RungResult(number=number, values=tuple(values[number])))
            rung.hold(number)
            verdicts = halving.decide(state)
            for decided in (*verdicts.go_on, *verdicts.stop):
                rung.release(decided)
        return (time.process_time() - began) / len(numbers)

    for number in range(9_900):
        rung.add(RungResult(number=number, values=tuple(values[number])))
    seconds_for(range(9_900, 9_901))  # takes the first ones in at once
    of_decisions = seconds_for(range(9_901, 9_951))
    began = time.process_time()
    ranks(values, [UP, DOWN, DOWN])
    assert of_decisions < 0.5 * (time.process_time() - began)
