from collections.abc import Mapping

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import InvalidSettingsError
from spaces import Range, SearchSpace, Value, build_space, field_names, spell_point, vary
from spaces.build import FIXED_SECTIONS

NUM_BASIS = {"choices": [1, 2, 4]}


def build(ranges: Mapping[str, Mapping[str, object]], run: PruningConfig | None = None) -> SearchSpace:
    parsed = {name: Range.model_validate(written) for name, written in ranges.items()}
    return build_space(parsed, run or PruningConfig())


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("budgets.macs", {"low": 0.3, "high": 1}, FloatDistribution(0.3, 1.0)),
        ("budgets.macs", {"low": "20K", "high": "1M"}, IntDistribution(20_000, 1_000_000)),
        ("budgets.macs", {"choices": ["50%", "20K"]}, CategoricalDistribution([0.5, 20_000])),
        ("loss_weights.steering", {"low": 1, "high": 10, "log": True}, FloatDistribution(1, 10, log=True)),
        ("loss_weights.steering", {"low": "1e-3", "high": 1}, FloatDistribution(0.001, 1)),
        ("loss_weights.task", {"low": 0, "high": 1, "step": 0.25}, FloatDistribution(0, 1, step=0.25)),
        ("saliency.num_basis", {"low": 1, "high": 4}, IntDistribution(1, 4)),
        ("gates.steps", {"low": 100, "high": 300, "step": 50}, IntDistribution(100, 300, step=50)),
        ("gates.steps", {"low": 1, "high": 300, "log": True}, IntDistribution(1, 300, log=True)),
        ("method", {"choices": ["l1", "random"]}, CategoricalDistribution(["l1", "random"])),
        ("gates.hard_forward", {"choices": [True, False]}, CategoricalDistribution([True, False])),
        ("channels.round_to", {"choices": ["auto", 1, 8]}, CategoricalDistribution(["auto", 1, 8])),
        ("gates.num_images", {"choices": [None, 100]}, CategoricalDistribution([None, 100])),
    ],
)
def test_a_range_becomes_a_distribution_of_its_fields_type(
    name: str, written: Mapping[str, object], expected: object
) -> None:
    assert build({name: written}).distributions[name] == expected


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        ({}, "'search': at least one field must vary"),
        (
            {"num_basis": NUM_BASIS},
            "'search.num_basis': is no field of a run. Did you mean saliency.num_basis",
        ),
        ({"frobnicate": NUM_BASIS}, "'search.frobnicate': .*Known fields: method, channels.scope"),
        ({"gates": NUM_BASIS}, "'search.gates': must name one field, but this is a section: gates.source"),
        ({"budgets.macs": {"low": 0, "high": 1}}, "'search.budgets.macs': 0 is not allowed: .*in \\(0, 1\\]"),
        ({"budgets.macs": {"low": 0.5, "high": 1.5}}, "'search.budgets.macs': 1.5 is not allowed"),
        ({"budgets.macs": {"low": 0.5, "high": 20}}, "must both be shares in \\(0, 1\\] or both be amounts"),
        (
            {"saliency.num_basis": {"choices": [1, 8]}},
            "'search.saliency.num_basis': 8 is not allowed: num_basis <=",
        ),
        ({"saliency.num_basis": {"low": 1, "high": 2.5}}, "2.5 is not allowed: .*integer"),
        ({"method": {"choices": ["l1", "isp"]}}, "'search.method': 'isp' is not allowed: .*task_inspired"),
        ({"method": {"low": "l1", "high": "random"}}, "is not a number, so it needs {choices"),
        ({"gates.hard_forward": {"low": 0, "high": 1}}, "is not a number, so it needs {choices"),
        ({"saliency.taps": {"choices": ["layer1"]}}, "'search.saliency.taps': 'layer1' is not allowed"),
        ({"gates.steps": {"low": 5, "high": 5}}, "low < high must hold, but got low=5, high=5"),
        ({"loss_weights.task": {"low": 1, "high": 0.5}}, "low < high must hold, but got low=1.0, high=0.5"),
        (
            {"loss_weights.task": {"low": 0, "high": 1, "log": True}},
            "low must be above 0 on a log scale, but got 0",
        ),
        ({"loss_weights.task": {"low": 0, "high": 1, "step": 0.3}}, "steps of 0.3, such as 0.9, but got 1"),
        ({"loss_weights.task": {"low": 0, "high": 1, "step": 3}}, "steps of 3, such as 3, but got 1"),
        ({"gates.steps": {"low": 1, "high": 10, "step": 4}}, "steps of 4, such as 9, but got 10"),
        (
            {"gates.steps": {"low": 1, "high": 10, "step": 0.5}},
            "step must be whole, as the field is, but got 0.5",
        ),
        ({"budgets.macs": {"choices": [0.5, "50%"]}}, "choices must differ, but 0.5 is there twice"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused_with_its_key(
    ranges: Mapping[str, Mapping[str, object]], problem: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=problem):
        build(ranges)


@pytest.mark.parametrize("name", [name for name in field_names() if name.split(".")[0] in FIXED_SECTIONS])
def test_the_dense_network_and_its_images_may_not_vary(name: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"'search.{name}': may not vary.*Set run.{name}"):
        build({name: {"choices": [1]}})


def test_values_that_are_refused_only_together_are_found_before_the_search() -> None:
    ranges = {"saliency.num_basis": {"choices": [1, 8]}, "saliency.max_num_basis": {"choices": [8, 4]}}
    with pytest.raises(
        InvalidSettingsError, match=r"num_basis=8, saliency.max_num_basis=4 do not fit together"
    ):
        build(ranges)


def test_a_value_is_allowed_that_only_the_other_varying_field_makes_possible() -> None:
    ranges = {"saliency.num_basis": {"choices": [1, 8]}, "saliency.max_num_basis": {"choices": [8, 9]}}
    assert build(ranges).num_configurations == 4


def test_a_long_list_of_choices_is_checked_one_field_at_a_time() -> None:
    ranges = {
        "gates.steps": {"choices": list(range(1, 101))},
        "gates.batch_size": {"choices": [*range(1, 100), 0]},
    }
    with pytest.raises(InvalidSettingsError, match=r"'search.gates.batch_size': 0 is not allowed"):
        build(ranges)


@pytest.mark.parametrize(
    ("ranges", "count"),
    [
        ({"saliency.num_basis": NUM_BASIS}, 3),
        ({"saliency.num_basis": NUM_BASIS, "gates.steps": {"low": 100, "high": 300, "step": 50}}, 15),
        ({"loss_weights.task": {"low": 0, "high": 0.3, "step": 0.1}}, 4),
        ({"saliency.num_basis": NUM_BASIS, "budgets.macs": {"low": 0.3, "high": 0.8}}, None),
    ],
)
def test_configurations_are_counted_on_finite_spaces_only(
    ranges: Mapping[str, Mapping[str, object]], count: int | None
) -> None:
    assert build(ranges).num_configurations == count


def test_everything_a_space_suggests_is_a_valid_run_and_lies_in_the_space() -> None:
    run = load_config({"seed": 3})
    space = build(
        {
            "budgets.macs": {"low": 0.3, "high": 0.8},
            "budgets.params": {"low": "20K", "high": "60K"},
            "saliency.num_basis": NUM_BASIS,
            "loss_weights.steering": {"low": 0.01, "high": 10, "log": True},
            "gates.steps": {"low": 100, "high": 300, "step": 50},
        },
        run,
    )
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for _ in range(50):
        values = space.suggest(study.ask())
        assert list(values) == list(space.distributions)
        space.check_point(values)
        assert spell_point(space, run, values) == values
        assert vary(run, values).seed == 3


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"budgets.params": 0.5},
            "'budgets.params' does not vary in this search. Fields that do: budgets.macs,",
        ),
        ({"budgets.macs": 0.9}, "'budgets.macs' must be between 0.3 and 0.8, but got 0.9"),
        ({"budgets.macs": "20M"}, "'budgets.macs' must be between 0.3 and 0.8, but got 20000000"),
        ({"saliency.num_basis": 3}, "'saliency.num_basis' must be one of 1, 2, 4, but got 3"),
        ({"gates.steps": 120}, "'gates.steps' must be between 100 and 300 in steps of 50, but got 120"),
        ({"loss_weights.steering": 20}, "between 0.1 and 10.0, log scale, but got 20.0"),
    ],
)
def test_a_point_outside_the_space_is_refused(values: dict[str, Value], problem: str) -> None:
    space = build(
        {
            "budgets.macs": {"low": 0.3, "high": 0.8},
            "saliency.num_basis": NUM_BASIS,
            "gates.steps": {"low": 100, "high": 300, "step": 50},
            "loss_weights.steering": {"low": 0.1, "high": 10, "log": True},
        }
    )
    with pytest.raises(InvalidSettingsError, match=problem):
        spell_point(space, PruningConfig(), values)


def test_a_point_is_spelt_as_the_space_spells_it() -> None:
    space = build({"budgets.macs": {"low": 0.3, "high": 0.8}, "saliency.num_basis": NUM_BASIS})
    assert spell_point(space, PruningConfig(), {"budgets.macs": "50%"}) == {"budgets.macs": 0.5}
