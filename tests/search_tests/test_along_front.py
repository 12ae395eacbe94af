"""Along the front of networks whose accuracy is a known function of the budget and of settings to be found."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping

import moocore
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from pruning_core.config import PruningConfig
from reports.objectives import Direction
from search.sampling.samplers import make_sampler
from search.sampling.search_task import SearchTask
from spaces import Range, SearchSpace, Value, build_space

LOW, HIGH = 0.06, 0.6
SHARE = Range(low=LOW, high=HIGH, log=True)
NUISANCE = {
    "loss_weights.steering": Range(low=0.01, high=10, log=True),
    "gates.learning_rate": Range(low=1e-4, high=1e-1, log=True),
    "saliency.num_basis": Range(choices=(1, 2, 4)),
}
ONE = build_space({"budgets.macs": SHARE, **NUISANCE}, PruningConfig())
TWO = build_space({"budgets.macs": SHARE, "budgets.params": SHARE, **NUISANCE}, PruningConfig())
COSTS = {"macs": Direction.MINIMIZE, "params": Direction.MINIMIZE}

Values = Mapping[str, Value]


def number(values: Values, name: str) -> float:
    return float(str(values[name]))


def scores(values: Values) -> tuple[float, ...]:
    """Return accuracy and costs: accuracy is concave in the cost, less what the other settings are off by."""
    budgets = [number(values, name) for name in values if name.startswith("budgets.")]
    cost = math.prod(budgets) ** (1 / len(budgets))
    off = 0.03 * (math.log10(number(values, "loss_weights.steering") / 0.3)) ** 2
    off += 0.04 * (math.log10(number(values, "gates.learning_rate") / 0.003)) ** 2
    off += {1: 0.02, 2: 0.0, 4: 0.01}[int(number(values, "saliency.num_basis"))]
    return (0.95 - 0.3 * (1 - cost) ** 3 - off, *(1e6 * budget for budget in budgets))


def hypervolume(results: list[tuple[float, ...]]) -> float:
    """Return the dominated share of the box from 0.65 accuracy and the largest budgets, costs on a log scale."""
    losses = [
        [(0.95 - accuracy) / 0.3, *(math.log(cost / 1e6 / LOW) / math.log(HIGH / LOW) for cost in costs)]
        for accuracy, *costs in results
    ]
    return float(moocore.hypervolume(np.array(losses), ref=np.ones(len(losses[0]))))


def task_of(space: SearchSpace) -> SearchTask:
    costs = {name: one for name, one in COSTS.items() if f"budgets.{name}" in space.distributions}
    return SearchTask(space=space, objectives={"accuracy": Direction.MAXIMIZE, **costs}, num_trials=40)


class Search:
    """A search in memory with a sampler of a name."""

    def __init__(self, space: SearchSpace, seed: int = 0, name: str = "along_front") -> None:
        self.space, self.seed, self.name = space, seed, name
        self.task = task_of(space)
        self.study = optuna.create_study(directions=[one.value for one in self.task.objectives.values()])
        self.results: list[tuple[float, ...]] = []
        self.num_asked = 0

    def ask(self) -> tuple[optuna.Trial, dict[str, Value]]:
        self.study.sampler = make_sampler(self.name, self.task, self.seed, self.num_asked)
        self.num_asked += 1
        trial = self.study.ask()
        return trial, self.space.suggest(trial)

    def run(self, num_trials: int) -> Search:
        for _ in range(num_trials):
            trial, values = self.ask()
            self.results.append(scores(values))
            self.study.tell(trial, self.results[-1])
        return self

    def num_trials_to(self, target: float, limit: int) -> int:
        for count in range(1, limit + 1):
            self.run(1)
            if hypervolume(self.results) >= target:
                return count
        return limit + 1


@pytest.mark.parametrize(("space", "target"), [(ONE, 0.375), (TWO, 0.265)], ids=["one budget", "two budgets"])
def test_a_front_is_found_in_three_quarters_of_the_trials_that_random_ones_need(
    space: SearchSpace, target: float
) -> None:
    ours, random = (
        statistics.median(Search(space, seed, name).num_trials_to(target, limit) for seed in range(3))
        for name, limit in (("along_front", 40), ("random", 60))
    )
    assert ours <= 40
    assert ours <= 0.75 * random


@pytest.mark.parametrize("num_trials", range(6))
@pytest.mark.parametrize("space", [ONE, TWO], ids=["one budget", "two budgets"])
def test_few_trials_are_enough_to_propose(space: SearchSpace, num_trials: int) -> None:
    search = Search(space).run(num_trials)
    search.space.check_point(search.ask()[1])


def test_slots_that_work_at_once_go_to_different_budgets() -> None:
    search = Search(ONE).run(8)
    asked = sorted(math.log10(number(search.ask()[1], "budgets.macs")) for _ in range(4))
    assert min(upper - lower for lower, upper in itertools.pairwise(asked)) > 0.03


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED], ids=["fail", "out of reach"])
def test_budgets_that_give_no_network_are_left(state: TrialState) -> None:
    search = Search(ONE)
    asked = []
    for _ in range(28):
        trial, values = search.ask()
        asked.append(number(values, "budgets.macs"))
        if asked[-1] >= 0.15:
            search.study.tell(trial, scores(values))
            continue
        if state is TrialState.PRUNED:
            trial.set_constraint("budgets", 1.0)
        search.study.tell(trial, state=state)
    assert sum(one < 0.15 for one in asked[-10:]) <= 2  # of the range it is two fifths


def test_the_other_settings_follow_what_was_accurate_at_such_budgets() -> None:
    drawn = [Search(ONE, seed).run(24).ask()[1] for seed in range(3)]
    off = statistics.median(abs(math.log10(number(one, "gates.learning_rate") / 0.003)) for one in drawn)
    assert off < 0.5  # of three decades: drawn at random the median is about 0.8


def test_budgets_that_are_given_stay_and_the_rest_fits_them() -> None:
    search = Search(TWO).run(12)
    search.study.enqueue_trial({"budgets.macs": 0.1})
    _, values = search.ask()
    assert values["budgets.macs"] == 0.1
    assert len(values) == len(TWO.distributions)


def test_choices_of_a_budget_are_all_tried() -> None:
    space = build_space({"budgets.macs": Range(choices=(0.1, 0.2, 0.4)), **NUISANCE}, PruningConfig())
    search = Search(space).run(20)
    assert {round(cost / 1e6, 9) for _, cost in search.results[6:]} == {0.1, 0.2, 0.4}
