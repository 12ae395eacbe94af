from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.objectives import Direction
from search.halving_order import best_first, spread_first

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def table(*rows: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64)


def random_table(seed: int, num_rows: int = 30, num_columns: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((num_rows, num_columns))


@pytest.mark.parametrize(("direction", "expected"), [(DOWN, [2, 0, 3, 1]), (UP, [1, 3, 0, 2])])
def test_one_objective_is_sorted_by(direction: Direction, expected: list[int]) -> None:
    assert best_first(table((2.0,), (5.0,), (1.0,), (3.0,)), [direction]) == expected


def test_a_front_comes_before_what_it_dominates() -> None:
    values = table((0.9, 8), (0.5, 5), (0.6, 2), (0.9, 5), (0.5, 2))  # accuracy, cost
    order = best_first(values, [UP, DOWN])
    assert set(order[:2]) == {3, 2}
    assert set(order[2:4]) == {0, 4}
    assert order[4] == 1


def test_a_front_begins_with_the_best_of_the_first_objective_and_spreads() -> None:
    values = table((0.0, 1), (0.25, 2), (0.5, 3), (0.75, 4), (1.0, 5))  # evenly spaced
    assert best_first(values, [UP, DOWN]) == [4, 0, 2, 1, 3]
    assert best_first(values, [UP, DOWN], num_wanted=2) == [4, 0]


@pytest.mark.parametrize("seed", range(5))
def test_each_row_of_a_front_is_the_farthest_from_those_before_it(seed: int) -> None:
    losses = random_table(seed)
    scaled = losses / np.ptp(losses, axis=0)
    order = spread_first(losses)
    assert sorted(order) == list(range(30))
    assert order[0] == losses[:, 0].argmin()
    for place in range(1, 30):
        gaps = {
            row: min(np.linalg.norm(scaled[row] - scaled[taken]) for taken in order[:place])
            for row in range(30)
        }
        assert gaps[order[place]] == pytest.approx(max(gaps.values()))


@pytest.mark.parametrize("seed", range(3))
def test_units_do_not_matter(seed: int) -> None:
    values = random_table(seed)
    other_units = values * [100, 1e-6, 1e9] + [3, 0, -5e8]
    assert best_first(values, [UP, DOWN, DOWN]) == best_first(other_units, [UP, DOWN, DOWN])


@pytest.mark.parametrize("seed", range(3))
def test_directions_are_signs(seed: int) -> None:
    values = random_table(seed)
    assert best_first(values, [UP, DOWN, UP]) == best_first(values * [-1, 1, -1], [DOWN] * 3)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_does_not_depend_on_where_different_rows_stand(seed: int) -> None:
    values = random_table(seed)
    shuffled = np.random.default_rng(seed).permutation(30)
    order = best_first(values[shuffled], [UP, DOWN, DOWN])
    assert [int(shuffled[row]) for row in order] == best_first(values, [UP, DOWN, DOWN])


@pytest.mark.parametrize("num_wanted", range(32))
def test_the_first_of_an_order_are_its_first(num_wanted: int) -> None:
    values = random_table(7)
    assert (
        best_first(values, [DOWN] * 3, num_wanted=num_wanted) == best_first(values, [DOWN] * 3)[:num_wanted]
    )


def test_equal_rows_are_taken_in_turn_and_none_twice() -> None:
    values = table((1, 1), (1, 1), (0, 2), (1, 1), (0, 2))
    assert best_first(values, [DOWN, DOWN]) == [2, 0, 1, 3, 4]


def test_nothing_has_an_empty_order() -> None:
    assert best_first(np.zeros((0, 2)), [UP, DOWN]) == []
    assert spread_first(np.zeros((0, 2))) == []
