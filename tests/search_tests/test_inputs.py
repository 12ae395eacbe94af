"""Configurations as rows, against Optuna's own transformation."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna._transform import _SearchSpaceTransform

from pruning_core.config import PruningConfig
from search.sampling.inputs import Inputs
from spaces import Range, SearchSpace, build_space


def make_space() -> SearchSpace:
    ranges = {
        "budgets.macs": Range(low=0.06, high=0.6, log=True),
        "budgets.params": Range(choices=(0.2, 0.4, 0.6)),
        "loss_weights.steering": Range(low=0.0, high=10.0, step=2.5),
        "saliency.num_basis": Range(low=1, high=4, log=True),
        "fine_tuning.epochs": Range(low=2, high=10, step=2),
    }
    return build_space(ranges, PruningConfig())


def drawn(space: SearchSpace, count: int) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [dict(study.ask(dict(space.distributions)).params) for _ in range(count)]


def test_rows_are_those_of_optuna() -> None:
    space = make_space()
    transform = _SearchSpaceTransform(dict(space.distributions), transform_0_1=True)
    configurations = drawn(space, 50)
    expected = [transform.transform(one) for one in configurations]
    np.testing.assert_allclose(Inputs(space).encode(configurations), expected, atol=1e-12)


def test_a_row_stands_for_the_configuration_it_was_made_of() -> None:
    space = make_space()
    inputs = Inputs(space)
    for one in drawn(space, 20):
        again = inputs.values(inputs.encode([one])[0])
        assert again == pytest.approx(one)


def test_a_field_that_does_not_exist_lies_in_the_middle() -> None:
    space = make_space()
    inputs = Inputs(space)
    whole = drawn(space, 1)[0]
    rows = inputs.encode([{name: one for name, one in whole.items() if name != "fine_tuning.epochs"}, whole])
    at = list(space.distributions).index("fine_tuning.epochs") + 2  # the choices before it take three columns
    assert rows[0, at] == pytest.approx(0.5)
    np.testing.assert_array_equal(np.delete(rows[0], at), np.delete(rows[1], at))


def test_no_configurations_are_no_rows() -> None:
    inputs = Inputs(make_space())
    assert inputs.encode([]).shape == (0, inputs.num_inputs)
