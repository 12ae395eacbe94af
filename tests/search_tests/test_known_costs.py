"""Expected gains against a slow oracle, the model of accuracies, and searches that go by both."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import moocore
import numpy as np
import pytest
from optuna.trial import TrialState
from threadpoolctl import threadpool_info, threadpool_limits

from search.sampling.accuracy_model import AccuracyModel
from search.sampling.expected_front import box_points, expected_gains, within_reach
from search.sampling.known_costs import KnownCostsSampler
from spaces import SearchSpace
from tests.search_tests.test_along_front import ONE, TWO, Search, number, scores

ACCURACY = np.array([0.9, 0.8, 0.5, 0.4])
COSTS = np.array([[0.7, 0.6], [0.4, 0.5], [0.1, 0.3], [0.6, 0.7]])


def added_volume(accuracy: float, costs: list[float]) -> float:
    """Return what a network adds to the hypervolume, by counting it twice."""
    losses = np.column_stack([1 - ACCURACY, COSTS])
    both = np.vstack([losses, [1 - accuracy, *costs]])
    whole, before = (float(moocore.hypervolume(one, ref=np.ones(3))) for one in (both, losses))
    return whole - before


@pytest.mark.parametrize("costs", [[0.05, 0.05], [0.3, 0.4], [0.8, 0.1], [0.9, 0.9]])
@pytest.mark.parametrize("accuracy", [0.3, 0.6, 0.95])
def test_a_sure_accuracy_gains_what_it_adds(accuracy: float, costs: list[float]) -> None:
    points = box_points(2)
    best = within_reach(points, ACCURACY, COSTS)
    gain = expected_gains(points, best, np.array([costs]), np.array([accuracy]), np.array([1e-6]))
    assert gain[0] == pytest.approx(added_volume(accuracy, costs), abs=2e-3)


def test_a_guess_gains_the_mean_of_what_its_draws_add() -> None:
    points = box_points(2)
    best = within_reach(points, ACCURACY, COSTS)
    draws = np.clip(np.random.default_rng(0).normal(0.7, 0.1, size=400), 0.0, 1.0)
    gain = expected_gains(points, best, np.array([[0.3, 0.4]]), np.array([0.7]), np.array([0.1]))
    assert gain[0] == pytest.approx(statistics.mean(added_volume(one, [0.3, 0.4]) for one in draws), rel=0.05)


def test_without_networks_the_whole_box_is_to_gain() -> None:
    points = box_points(1)
    best = within_reach(points, np.zeros(0), np.zeros((0, 1)))
    gain = expected_gains(points, best, np.array([[0.25]]), np.array([0.8]), np.array([1e-6]))
    assert gain[0] == pytest.approx(0.75 * 0.8, abs=1e-3)


def test_the_model_finds_a_function_again_and_knows_where_it_does_not_know() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.random((40, 3)) * [0.5, 1.0, 1.0]  # the upper half of the first input was never seen
    model = AccuracyModel(inputs, 0.6 + 0.2 * np.sin(4 * inputs[:, 0]) - 0.1 * inputs[:, 1] ** 2)
    asked = rng.random((50, 3)) * [0.5, 1.0, 1.0]
    means, deviations = model.predict(asked)
    assert np.abs(means - (0.6 + 0.2 * np.sin(4 * asked[:, 0]) - 0.1 * asked[:, 1] ** 2)).max() < 0.02
    far = model.predict(np.array([[1.0, 0.5, 0.5]]))[1]
    assert far[0] > 3 * np.median(deviations)


def test_what_the_model_believes_it_no_longer_asks() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.random((12, 2))
    model = AccuracyModel(inputs, inputs[:, 0] + 0.05 * rng.normal(size=12))
    asked = np.array([[0.5, 0.99]])
    before = model.predict(asked)
    model.believe(asked)
    after = model.predict(asked)
    assert after[0] == pytest.approx(before[0], abs=1e-6)
    assert after[1] < before[1]


def reported_volume(search: Search, limit: int) -> float:
    """Return the hypervolume as reports measure it: costs as shares of the dense network's 1e6."""
    losses = [[1 - accuracy, *(cost / 1e6 for cost in costs)] for accuracy, *costs in search.results[:limit]]
    return float(moocore.hypervolume(np.array(losses), ref=np.ones(len(losses[0]))))


@pytest.mark.parametrize("space", [ONE, TWO], ids=["one budget", "two budgets"])
def test_it_dominates_more_than_random_trials_and_along_front_after_as_many(space: SearchSpace) -> None:
    volumes = {
        name: statistics.median(reported_volume(Search(space, seed, name).run(24), 24) for seed in range(3))
        for name in ("known_costs", "along_front", "random")
    }
    assert volumes["known_costs"] > volumes["random"]
    assert volumes["known_costs"] >= volumes["along_front"] - 0.002


@pytest.mark.parametrize("num_trials", range(8))
def test_few_trials_are_enough_to_propose(num_trials: int) -> None:
    search = Search(TWO, name="known_costs").run(num_trials)
    search.space.check_point(search.ask()[1])


def test_slots_that_work_at_once_try_different_configurations() -> None:
    search = Search(ONE, name="known_costs").run(10)
    asked = [search.ask()[1] for _ in range(3)]
    for one, other in itertools.combinations(asked, 2):
        apart = [math.log10(number(one, name) / number(other, name)) for name in one]
        assert max(map(abs, apart)) > 0.05


def test_budgets_that_give_no_network_are_left() -> None:
    search = Search(ONE, name="known_costs")
    asked = []
    for _ in range(28):
        trial, values = search.ask()
        asked.append(number(values, "budgets.macs"))
        if asked[-1] >= 0.15:
            search.study.tell(trial, scores(values))
        else:
            trial.set_constraint("budgets", 1.0)
            search.study.tell(trial, state=TrialState.PRUNED)
    assert sum(one < 0.15 for one in asked[-10:]) <= 4  # the least budget is where most is to gain


def test_values_that_are_given_stay() -> None:
    search = Search(TWO, name="known_costs").run(10)
    search.study.enqueue_trial({"budgets.macs": 0.3, "saliency.num_basis": 4})
    values = search.ask()[1]
    assert (values["budgets.macs"], values["saliency.num_basis"]) == (0.3, 4)


def test_linear_algebra_has_one_thread_while_it_proposes_and_as_many_as_before_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[int]] = []
    propose = KnownCostsSampler.propose

    def watched(sampler: KnownCostsSampler, *arguments: Any) -> dict[str, Any]:
        seen.append(num_threads())
        return propose(sampler, *arguments)

    monkeypatch.setattr(KnownCostsSampler, "propose", watched)
    search = Search(ONE, name="known_costs").run(6)
    with threadpool_limits(limits=2, user_api="blas"):
        before = num_threads()
        search.ask()
        assert num_threads() == before
    assert seen[-1] == {1}


def num_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_rungs_of_stopped_trials_are_learned_from() -> None:
    """Complete trials are all as accurate; only those that were stopped say which learning rates are bad."""
    found = []
    for seed in range(3):
        search = Search(ONE, seed, "random")
        for index in range(24):
            trial, values = search.ask()
            if index < 6:
                search.study.tell(trial, (0.8, scores(values)[1]))
                continue
            accuracy = 0.7 if number(values, "gates.learning_rate") < 0.003 else 0.1
            result = {"num_correct_fine_tuned": int(1000 * accuracy), "num_images": 1000}
            trial.set_user_attr("rung 1", {"order": index, "outcome": {"result": result}})
            search.study.tell(trial, state=TrialState.PRUNED)
        search.name = "known_costs"
        found.append(number(search.ask()[1], "gates.learning_rate"))
    assert max(found) < 0.005
