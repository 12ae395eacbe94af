"""Fields that vary only under a condition."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
import pytest

from pruning_core.config import PruningConfig
from pruning_core.errors import InvalidSettingsError
from spaces import Range, SearchSpace, Value, build_space, spell_point

METHODS: Mapping[str, list[str]] = {"choices": ["interpretation_steered", "task_inspired", "l1"]}
STEERED: Mapping[str, object] = {"method": "interpretation_steered"}
SCORED: Mapping[str, object] = {"method": ["task_inspired", "l1"]}
RANGES: Mapping[str, Mapping[str, object]] = {
    "gates.steps": {"low": 100, "high": 300, "step": 100, "when": STEERED},
    "method": METHODS,
    "importance.allocation": {"choices": ["global", "sensitivity"], "when": SCORED},
    "saliency.num_basis": {"choices": [1, 2]},
}


def build(ranges: Mapping[str, Mapping[str, object]]) -> SearchSpace:
    return build_space({name: Range.model_validate(one) for name, one in ranges.items()}, PruningConfig())


def test_fields_are_drawn_after_those_that_they_depend_on() -> None:
    assert list(build(RANGES).distributions) == [
        "method",
        "gates.steps",
        "importance.allocation",
        "saliency.num_basis",
    ]


def test_only_fields_whose_condition_holds_are_drawn() -> None:
    space = build(RANGES)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask()) for _ in range(30)]
    assert {one["method"] for one in drawn} == set(METHODS["choices"])
    for one in drawn:
        is_steered = one["method"] == "interpretation_steered"
        assert ("gates.steps" in one, "importance.allocation" in one) == (is_steered, not is_steered)
        space.check_point(one)
        assert spell_point(space, PruningConfig(), one) == one


def test_what_is_given_is_not_drawn_and_left_out_where_it_does_not_exist() -> None:
    space = build(RANGES)
    trial = optuna.create_study().ask()
    given: dict[str, Value] = {"method": "l1", "gates.steps": 100, "saliency.num_basis": 2}
    values = space.suggest(trial, given)
    assert values.keys() == {"method", "importance.allocation", "saliency.num_basis"}
    assert trial.params.keys() == {"importance.allocation"}


def test_configurations_are_counted_where_they_exist() -> None:
    assert build(RANGES).num_configurations == (3 + 2 + 2) * 2


def test_conditions_may_be_nested() -> None:
    space = build(
        {
            "gates.prior": {"choices": ["l1", "taylor", None], "when": STEERED},
            "method": METHODS,
            "gates.widths": {"choices": ["learned", "allocated"], "when": {"gates.prior": ["l1", "taylor"]}},
        }
    )
    assert list(space.distributions) == ["method", "gates.prior", "gates.widths"]
    assert space.num_configurations == 2 + (2 * 2 + 1)
    assert space.existing({"method": "l1", "gates.prior": "l1", "gates.widths": "allocated"}) == {
        "method": "l1"
    }


def test_a_condition_is_described() -> None:
    space = build(RANGES)
    assert space.describe("gates.steps") == (
        "between 100 and 300 in steps of 100, when method is interpretation_steered"
    )
    assert space.describe("importance.allocation").endswith("when method is task_inspired or l1")


def test_ends_are_tried_only_where_they_exist() -> None:
    widths = {"choices": ["allocated"], "when": {"gates.prior": ["l1"]}}
    priors = {"choices": ["l1", None]}
    assert build({"gates.prior": priors, "gates.widths": widths}).num_configurations == 2
    with pytest.raises(
        InvalidSettingsError, match=r"gates.prior=None, gates.widths='allocated' do not fit together"
    ):
        build({"gates.prior": priors, "gates.widths": {"choices": ["allocated", "learned"]}})


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        (
            {"seed": 1},
            "must name fields that vary, but seed does not. Fields that do: gates.steps, method, imp",
        ),
        ({"saliency.num_basis": 4}, "must be among the choices of saliency.num_basis, 1, 2, but got 4"),
        ({"saliency.num_basis": True}, "must be among the choices of saliency.num_basis, 1, 2, but got True"),
        ({"saliency.num_basis": [1, 2]}, "holds for every choice of saliency.num_basis, so it has no effect"),
        ({"gates.steps": 100}, "must name fields with choices, but gates.steps is a range from 100 to 300"),
        ({"importance.allocation": "global"}, "lead back to itself, but got importance.allocation -> imp"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_with_its_key(
    when: Mapping[str, object], problem: str
) -> None:
    written = {"choices": ["global", "sensitivity"], "when": when}
    with pytest.raises(InvalidSettingsError, match=f"'search.importance.allocation.when': .*{problem}"):
        build({**RANGES, "importance.allocation": written})


def test_a_condition_that_never_holds_is_refused() -> None:
    written = {"choices": [1, 2], "when": {"method": "l1", "gates.prior": "l1"}}
    ranges = {
        **RANGES,
        "gates.prior": {"choices": ["l1", None], "when": STEERED},
        "saliency.num_basis": written,
    }
    with pytest.raises(
        InvalidSettingsError,
        match=r"'search.saliency.num_basis.when': .*never holds that method is l1 and gates.prior is l1",
    ):
        build(ranges)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"gates.steps": 100},
            "'gates.steps' varies only when method is int.*, so method must be given with it",
        ),
        ({"gates.steps": 100, "method": "l1"}, "'gates.steps' varies only when .*, but got method='l1'"),
    ],
)
def test_a_point_that_gives_a_field_outside_its_condition_is_refused(
    values: Mapping[str, Value], problem: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=problem):
        spell_point(build(RANGES), PruningConfig(), values)


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("l1", "must be {FIELD: VALUE} or {FIELD: .VALUE, VALUE.}, .* but got 'l1'"),
        ({"method": []}, "but got no value for method"),
        ({"method": ["l1", "l1"]}, "values must differ, but 'l1' is there twice"),
        ({"method": [["l1"]]}, "must be single values"),
    ],
)
def test_a_condition_of_another_form_is_refused(when: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Range.model_validate({"choices": [1, 2], "when": when})
