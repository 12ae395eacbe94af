from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from benchmarks.replay_ceiling import choose_in_turn, render
from reports.fronts import volume_of


@pytest.mark.parametrize("seed", range(3))
def test_each_choice_promises_most_beside_what_came_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    possible, actual = rng.random((40, 4, 3)), rng.random((40, 3))
    chosen = choose_in_turn(possible, actual, np.ones(40), 6.0)
    assert len(set(chosen)) == 6
    for count, row in enumerate(chosen):
        before = actual[chosen[:count]]
        promises = [
            np.mean([volume_of(np.vstack([before, one[None]])) for one in outcomes]) for outcomes in possible
        ]
        left = [promise for place, promise in enumerate(promises) if place not in chosen[:count]]
        assert promises[row] == pytest.approx(max(left))


def test_without_luck_greedy_choice_is_near_the_best_of_all() -> None:
    losses = np.random.default_rng(3).random((14, 3))
    best = max(volume_of(losses[list(rows)]) for rows in combinations(range(14), 3))
    chosen = choose_in_turn(losses[:, None], losses, np.ones(14), 3.0)
    assert volume_of(losses[chosen]) >= 0.95 * best


def test_choices_end_with_the_time() -> None:
    losses = np.array([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])
    for limit_s, chosen in ((5.0, [1]), (3.0, [])):
        assert choose_in_turn(losses[:, None], losses, np.array([2.0, 4.0, 2.0]), limit_s) == chosen


def test_the_page_has_a_line_for_everybody() -> None:
    rows = {"knows what to expect": [0.4, 0.41, 0.42], "gp, none": [0.3, 0.35, 0.4]}
    figures = {"recording": "cifar10", "candidates": 1500, "rows": rows, "machine": "x86_64"}
    page = render(figures, "python -m benchmarks.replay_ceiling")
    assert "| knows what to expect | 0.4000 | 0.4100 | 0.4200 |" in page
    assert "| gp, none | 0.3000 | 0.3500 | 0.4000 |" in page
