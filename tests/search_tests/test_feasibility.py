"""Whether networks will meet the constraints, foreseen from trials."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial

from search.sampling.feasibility import chances_to_meet, violations_of

PLACES_N1 = np.linspace(0, 1, 21)[:, None]
WIDTH = 0.2


def trial(**constraints: float) -> FrozenTrial:
    return optuna.trial.create_trial(value=0.0, constraints=constraints)


def test_constraints_that_all_meet_are_none() -> None:
    trials = [trial(budgets=-0.1, macs=0.2), trial(budgets=0.0, macs=-0.3), trial(budgets=-0.2)]
    assert violations_of(trials).tolist() == [[0.2], [-0.3], [0.0]]
    assert violations_of([trial(budgets=0.0)]).shape == (1, 0)
    assert violations_of([]).shape == (0, 0)


def test_a_limit_is_foreseen_where_it_lies() -> None:
    chances = chances_to_meet(
        PLACES_N1 - 0.42, PLACES_N1, np.array([[0.2], [0.38], [0.42], [0.46], [0.9]]), WIDTH
    )
    assert chances[:2] == pytest.approx(1, abs=0.01)
    assert chances[2] == pytest.approx(0.5, abs=0.01)
    assert chances[3:] == pytest.approx(0, abs=0.01)


def test_the_more_violations_scatter_the_less_is_certain() -> None:
    noise_N1 = np.random.default_rng(0).normal(scale=0.1, size=PLACES_N1.shape)
    at = np.array([[0.3], [0.55]])
    clear = chances_to_meet(PLACES_N1 - 0.42, PLACES_N1, at, WIDTH)
    blurred = chances_to_meet(PLACES_N1 - 0.42 + noise_N1, PLACES_N1, at, WIDTH)
    assert blurred[0] < clear[0]
    assert blurred[1] > clear[1]


def test_all_constraints_must_be_met() -> None:
    both = np.column_stack([PLACES_N1 - 0.7, 0.3 - PLACES_N1])
    chances = chances_to_meet(both, PLACES_N1, np.array([[0.1], [0.5], [0.9]]), WIDTH)
    assert chances == pytest.approx([0, 1, 0], abs=0.01)
    none = chances_to_meet(both[:, :0], PLACES_N1, np.array([[0.1], [0.5]]), WIDTH)
    assert none.tolist() == [1, 1]
