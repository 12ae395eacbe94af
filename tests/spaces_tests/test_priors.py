from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pruning_core.config import PruningConfig
from pruning_core.errors import InvalidSettingsError
from spaces import Range, Value, build_space
from spaces.distributions import holds
from spaces.priors import draw_near


@pytest.mark.parametrize(
    ("distribution", "prior", "middle"),
    [
        (FloatDistribution(0.0, 1.0), 0.5, (0.45, 0.55)),
        (FloatDistribution(1e-4, 1.0, log=True), 1e-2, (0.007, 0.014)),
        (FloatDistribution(0.0, 1.0, step=0.25), 0.5, (0.5, 0.5)),
        (IntDistribution(1, 99, step=2), 31, (27, 35)),
    ],
)
def test_numbers_lie_around_the_prior_and_in_the_range(
    distribution: BaseDistribution, prior: Value, middle: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_near(distribution, prior, rng) for _ in range(400)]
    assert all(holds(distribution, value) for value in drawn)
    low, high = middle
    assert low <= float(np.median(np.array(drawn, dtype=float))) <= high
    assert len(set(drawn)) > 2


def test_a_prior_at_the_end_of_a_range_stays_inside() -> None:
    rng = np.random.default_rng(0)
    drawn = [float(str(draw_near(FloatDistribution(0.0, 1.0), 1.0, rng))) for _ in range(200)]
    assert 0.7 < float(np.median(drawn)) <= max(drawn) <= 1.0


def test_a_choice_that_is_believed_in_is_taken_more_often() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_near(CategoricalDistribution((None, 1, 2)), None, rng) for _ in range(300)]
    assert 0.55 < drawn.count(None) / 300 < 0.8
    assert set(drawn) == {None, 1, 2}


def test_priors_are_spelt_as_their_fields() -> None:
    ranges = {
        "loss_weights.steering": Range(low=0.1, high=10, log=True, prior=1),
        "saliency.num_basis": Range(choices=(1, 2, 4), prior=2),
        "budgets.macs": Range(low=0.2, high=0.8),
    }
    space = build_space(ranges, PruningConfig())
    assert space.priors == {"loss_weights.steering": 1.0, "saliency.num_basis": 2}
    assert isinstance(space.priors["loss_weights.steering"], float)


@pytest.mark.parametrize("prior", [20, "many", None, True])
def test_a_prior_outside_its_range_is_refused(prior: Value) -> None:
    ranges = {"loss_weights.steering": Range(low=0.1, high=10, prior=prior)}
    with pytest.raises(
        InvalidSettingsError, match=r"'search\.loss_weights\.steering': prior must be between 0.1 and 10"
    ):
        build_space(ranges, PruningConfig())
