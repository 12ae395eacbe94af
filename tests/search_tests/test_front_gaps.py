from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search.sampling.front_gaps import FrontKnowledge, gaps, residuals
from search.sampling.neighbours import fit_locally, neighbourhood

GRID_C1 = np.linspace(0, 1, 41)[:, None]


def budget(places_NB: np.ndarray) -> np.ndarray:
    return 0.1 * 10.0 ** places_NB[:, :1]


def known(
    places: list[float], *, running: list[float] | None = None, lost: list[float] | None = None
) -> FrontKnowledge:
    """Return trials of 90 % of their budgets, whose accuracy is linear in the place."""
    places_N1 = np.array(places)[:, None]
    filled_F1 = np.array(running or []).reshape(-1, 1)
    return FrontKnowledge(
        places_NB=places_N1,
        accuracy_N=0.5 + 0.4 * places_N1[:, 0],
        costs_NM=0.9e6 * budget(places_N1),
        limits_NM=budget(places_N1),
        violations_NK=np.zeros((len(places), 0)),
        filled_FB=filled_F1,
        filled_limits_FM=budget(filled_F1),
        lost_LB=np.array(lost or []).reshape(-1, 1),
    )


def gaps_of(knowledge: FrontKnowledge, candidates_C1: np.ndarray, limits_CM: np.ndarray) -> np.ndarray:
    surplus_N = residuals(knowledge.places_NB, knowledge.accuracy_N)
    return gaps(knowledge, surplus_N, candidates_C1, limits_CM)


def best_place(knowledge: FrontKnowledge) -> float:
    return float(GRID_C1[np.argmax(gaps_of(knowledge, GRID_C1, budget(GRID_C1))), 0])


def test_a_plane_is_found_again_by_local_fits() -> None:
    places_NB = np.random.default_rng(0).random((30, 2))
    at_CB = np.array([[0.5, 0.5], [0.0, 1.0], [0.9, 0.2]])
    fitted_CT = fit_locally(places_NB, (1 + places_NB @ [2.0, -3.0])[:, None], at_CB, 0.3)
    np.testing.assert_allclose(fitted_CT[:, 0], 1 + at_CB @ [2.0, -3.0], atol=0.06)


def test_a_single_trial_is_as_it_is_everywhere() -> None:
    fitted_CT = fit_locally(np.array([[0.3]]), np.array([[0.7]]), np.array([[0.0], [0.3], [1.0]]), 0.1)
    np.testing.assert_allclose(fitted_CT, 0.7)


def test_residuals_are_what_budgets_do_not_explain() -> None:
    places_NB = np.linspace(0, 1, 21)[:, None]
    better_N = np.where(np.arange(21) % 2, 0.05, -0.05)
    found_N = residuals(places_NB, 0.5 + 0.4 * places_NB[:, 0] + better_N)
    assert (np.sign(found_N) == np.sign(better_N)).all()


def test_neighbourhoods_shrink_as_trials_come() -> None:
    assert neighbourhood(1, 1) > neighbourhood(10, 1) > neighbourhood(1000, 1) > 0
    assert neighbourhood(1000, 2) > neighbourhood(1000, 1)


def test_the_widest_gap_of_the_front_is_filled() -> None:
    assert best_place(known([0.0, 0.1, 0.2, 0.8, 0.9, 1.0])) == pytest.approx(0.5, abs=0.11)


def test_a_running_trial_has_filled_its_gap() -> None:
    place = best_place(known([0.0, 0.1, 0.4, 0.8, 0.9, 1.0], running=[0.6]))
    assert not 0.5 <= place <= 0.7


def test_budgets_at_which_nothing_came_of_trials_lose_their_appeal() -> None:
    places = [0.0, 0.1, 0.3, 0.4, 0.5, 0.9, 1.0]
    assert best_place(known(places)) == pytest.approx(0.7, abs=0.11)
    before_C, after_C = (
        gaps_of(known(places, lost=lost), GRID_C1, budget(GRID_C1))
        for lost in ([], [0.6, 0.65, 0.7, 0.75, 0.8])
    )
    is_there = np.abs(GRID_C1[:, 0] - 0.7) < 0.1
    assert (after_C[is_there] < 0.5 * before_C[is_there]).all()
    assert after_C[4] > 0.9 * before_C[4]  # at 0.1


def test_trials_that_miss_a_constraint_are_not_of_the_front() -> None:
    knowledge = known([0.0, 0.25, 0.5, 0.75, 1.0])
    violations_NK = np.array([[-0.1], [-0.1], [-0.1], [0.1], [0.1]])
    added_C = gaps_of(replace(knowledge, violations_NK=violations_NK), GRID_C1, budget(GRID_C1))
    assert (
        added_C[GRID_C1[:, 0] > 0.6].max()
        > gaps_of(knowledge, GRID_C1, budget(GRID_C1))[GRID_C1[:, 0] > 0.6].max()
    )


def test_gaps_do_not_depend_on_the_unit_of_a_cost() -> None:
    knowledge = known([0.0, 0.2, 0.5, 1.0])
    in_kilo = replace(knowledge, costs_NM=knowledge.costs_NM / 1000)
    limits_CM = budget(GRID_C1)
    np.testing.assert_allclose(
        gaps_of(knowledge, GRID_C1, limits_CM), gaps_of(in_kilo, GRID_C1, limits_CM), atol=1e-9
    )
