from __future__ import annotations

from collections.abc import Mapping

import pytest

from pruning_core.config import PruningConfig
from reports.objectives import Direction
from search.sampling.sampler_choice import SamplerChoice, choose_sampler
from search.sampling.search_task import SearchTask
from spaces import Range, build_space

BUDGET: Mapping[str, object] = {"budgets.macs": {"low": 0.1, "high": 0.9}}
RATE: Mapping[str, object] = {"gates.learning_rate": {"low": 0.01, "high": 0.1}}
GRID: Mapping[str, object] = {"saliency.num_basis": {"choices": [1, 2, 4]}}
CONDITIONAL_RATE: Mapping[str, object] = {
    **RATE,
    "method": {"choices": ["l1", "interpretation_steered"]},
    "gates.steps": {"low": 10, "high": 20, "when": {"method": "interpretation_steered"}},
}
CONDITIONAL: Mapping[str, object] = {**CONDITIONAL_RATE, **BUDGET}


def choose(
    name: str, written: Mapping[str, object], num_trials: int = 40, num_costs: int = 2
) -> SamplerChoice:
    ranges = {field: Range.model_validate(one) for field, one in written.items()}
    costs = ("macs", "params", "latency_ms", "activation_memory")[:num_costs]
    task = SearchTask(
        space=build_space(ranges, PruningConfig()),
        objectives={"accuracy": Direction.MAXIMIZE, **dict.fromkeys(costs, Direction.MINIMIZE)},
        num_trials=num_trials,
    )
    return choose_sampler(name, task)


@pytest.mark.parametrize(
    ("written", "num_trials", "num_costs", "expected"),
    [
        (BUDGET, 40, 2, "known_costs: auto, as budgets vary"),
        (BUDGET, 2000, 4, "known_costs: auto, as budgets vary"),
        (RATE, 40, 2, "tpe: auto, as 40 trials are too few for generations"),
        (RATE, 2000, 2, "nsga2: auto, for 2,000 trials and 3 objectives"),
        (RATE, 2000, 3, "nsga3: auto, for 2,000 trials and 4 objectives"),
        (GRID, 40, 2, "random: auto, as 40 trials reach all 3 configurations"),
        (CONDITIONAL_RATE, 2000, 2, "tpe: auto, as it models fields that vary only under a condition"),
    ],
)
def test_auto_goes_by_trials_and_objectives_and_says_why(
    written: Mapping[str, object], num_trials: int, num_costs: int, expected: str
) -> None:
    assert str(choose("auto", written, num_trials, num_costs)) == expected


def test_a_sampler_that_is_asked_for_by_name_proposes() -> None:
    assert str(choose("gp", BUDGET)) == "gp"
    assert str(choose("along_front", BUDGET)) == "along_front"


def test_without_a_budget_there_is_no_front_to_go_along() -> None:
    assert str(choose("along_front", GRID)).startswith("tpe: no budget varies in all configurations")


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "gp", "qmc"])
def test_who_draws_conditional_fields_at_random_says_so(name: str) -> None:
    assert (
        str(choose(name, CONDITIONAL))
        == f"{name}: fields that vary only under a condition are drawn at random"
    )


def test_a_choice_comes_back_from_plain_data() -> None:
    choice = SamplerChoice(name="tpe", reason="auto")
    assert SamplerChoice.from_plain(choice.to_plain()) == choice
