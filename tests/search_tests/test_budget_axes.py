from __future__ import annotations

import pytest

from pruning_core.config import PruningConfig
from search.sampling.budget_axes import BudgetAxis, budget_axes
from spaces import Range, build_space


def axes(**written: object) -> tuple[BudgetAxis, ...]:
    ranges = {name.replace("_", ".", 1): Range.model_validate(one) for name, one in written.items()}
    return budget_axes(build_space(ranges, PruningConfig()))


@pytest.mark.parametrize(
    "written",
    [
        {"low": 0.1, "high": 0.9},
        {"low": 0.1, "high": 0.9, "log": True},
        {"low": 0.1, "high": 0.9, "step": 0.2},
        {"low": "20K", "high": "1M", "log": True},
        {"choices": [0.9, 0.1, 0.3]},
        {"choices": ["1M", "20K"]},
    ],
)
def test_values_have_places_from_low_to_high_and_come_back(written: object) -> None:
    (axis,) = axes(budgets_macs=written)
    assert (axis.place(axis.low), axis.place(axis.high)) == (0.0, 1.0)
    for place in (0.0, 0.3, 0.55, 1.0):
        value = axis.value(place)
        assert type(value) is type(axis.value(0.0))
        assert axis.value(axis.place(value)) == value


def test_the_middle_of_a_log_scale_is_the_geometric_mean() -> None:
    (axis,) = axes(budgets_macs={"low": 0.04, "high": 1.0, "log": True})
    assert axis.value(0.5) == pytest.approx(0.2)


def test_a_place_becomes_the_nearest_value_of_a_grid() -> None:
    (stepped,) = axes(budgets_macs={"low": 0.1, "high": 0.9, "step": 0.4})
    (chosen,) = axes(budgets_params={"choices": [0.9, 0.1, 0.3]})
    assert [stepped.value(place) for place in (0.2, 0.3, 0.8)] == pytest.approx([0.1, 0.5, 0.9])
    assert [chosen.value(place) for place in (0.1, 0.3, 0.8)] == [0.1, 0.3, 0.9]


def test_only_budgets_that_every_configuration_has_in_one_unit_are_axes() -> None:
    found = axes(
        budgets_macs={"low": 0.1, "high": 0.9},
        budgets_params={"choices": [0.5, None]},
        budgets_activation_memory={"choices": [0.5, "20K"]},
        budgets_block_macs={"low": 0.1, "high": 0.9, "when": {"method": "l1"}},
        method={"choices": ["l1", "random"]},
        gates_steps={"low": 1, "high": 9},
    )
    assert [axis.resource for axis in found] == ["macs"]
