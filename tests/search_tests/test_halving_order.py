from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.fronts import ranks
from reports.objectives import Direction
from search.early_stopping import halving_order
from search.early_stopping.halving_order import CoveringNet, LastNet

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def table(*rows: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64)


def random_table(seed: int, num_rows: int = 30, num_columns: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((num_rows, num_columns))


def best_rows(values: NDArray[np.float64], directions: Sequence[Direction], num_best: int) -> list[int]:
    losses = values * [-1 if direction is UP else 1 for direction in directions]
    return halving_order.best_rows(
        losses, ranks(values, directions), num_best, of_rows=np.arange(len(values)), nets=LastNet()
    )


def spread_first(losses: NDArray[np.float64], num_wanted: int | None = None) -> list[int]:
    return CoveringNet(losses).first(len(losses) if num_wanted is None else num_wanted)


@pytest.mark.parametrize(("direction", "order"), [(DOWN, [2, 0, 3, 1]), (UP, [1, 3, 0, 2])])
@pytest.mark.parametrize("num_best", range(6))
def test_one_objective_is_sorted_by(direction: Direction, order: list[int], num_best: int) -> None:
    values = table((2.0,), (5.0,), (1.0,), (3.0,))
    assert best_rows(values, [direction], num_best) == sorted(order[:num_best])


def test_a_front_comes_before_what_it_dominates() -> None:
    values = table((0.9, 8), (0.5, 5), (0.6, 2), (0.9, 5), (0.5, 2))  # accuracy, cost
    assert best_rows(values, [UP, DOWN], 2) == [2, 3]
    assert best_rows(values, [UP, DOWN], 4) == [0, 2, 3, 4]


def test_a_front_begins_with_the_best_of_the_first_objective_and_spreads() -> None:
    values = table((0.0, 1), (0.25, 2), (0.5, 3), (0.75, 4), (1.0, 5))  # evenly spaced
    assert spread_first(values * [-1, 1]) == [4, 0, 2, 1, 3]
    assert best_rows(values, [UP, DOWN], 2) == [0, 4]
    assert best_rows(values, [UP, DOWN], 3) == [0, 2, 4]


@pytest.mark.parametrize("num_best", [0, 1, 5, 12, 30, 31])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_are_whole_fronts_and_the_first_of_a_net(seed: int, num_best: int) -> None:
    values = random_table(seed)
    left, expected = list(range(30)), set[int]()
    while left and len(expected) < num_best:
        front = [
            row
            for row in left
            if not any((values[other] <= values[row]).all() and other != row for other in left)
        ]
        net = [front[place] for place in spread_first(values[front])]
        expected |= set(net[: num_best - len(expected)])
        left = [row for row in left if row not in front]
    assert best_rows(values, [DOWN] * 3, num_best) == sorted(expected)


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
    assert spread_first(values) == spread_first(other_units)
    assert best_rows(values, [UP, DOWN, DOWN], 10) == best_rows(other_units, [UP, DOWN, DOWN], 10)


@pytest.mark.parametrize("seed", range(3))
def test_directions_are_signs(seed: int) -> None:
    values = random_table(seed)
    assert best_rows(values, [UP, DOWN, UP], 10) == best_rows(values * [-1, 1, -1], [DOWN] * 3, 10)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_do_not_depend_on_where_different_rows_stand(seed: int) -> None:
    values = random_table(seed)
    shuffled = np.random.default_rng(seed).permutation(30)
    best = best_rows(values[shuffled], [UP, DOWN, DOWN], 10)
    assert sorted(int(shuffled[row]) for row in best) == best_rows(values, [UP, DOWN, DOWN], 10)


@pytest.mark.parametrize("num_wanted", range(32))
def test_the_first_of_a_net_are_its_first(num_wanted: int) -> None:
    losses = random_table(7)
    assert spread_first(losses, num_wanted) == spread_first(losses)[:num_wanted]
    net = CoveringNet(losses)
    for number in (num_wanted, 2, num_wanted, 40):
        assert net.first(number) == spread_first(losses)[:number]


def test_equal_rows_are_taken_in_turn_and_none_twice() -> None:
    values = table((1, 1), (1, 1), (0, 2), (1, 1), (0, 2))
    assert spread_first(values) == [2, 0, 1, 3, 4]
    assert [best_rows(values, [DOWN, DOWN], number) for number in (1, 3)] == [[2], [0, 1, 2]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_best", [0, 1, 5, 12, 30, 31])
def test_some_rows_are_among_the_best_or_not(seed: int, num_best: int) -> None:
    losses = random_table(seed)
    ranks_of_all = ranks(losses, [DOWN] * 3)
    best = best_rows(losses, [DOWN] * 3, num_best)
    nets = LastNet()
    for rows in (np.arange(0, 30, 4), np.array([7]), np.arange(0)):
        found = halving_order.best_rows(losses, ranks_of_all, num_best, of_rows=rows, nets=nets)
        assert found == [row for row in best if row in rows]


def test_nothing_has_no_best() -> None:
    assert best_rows(np.zeros((0, 2)), [UP, DOWN], 3) == []
