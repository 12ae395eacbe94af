"""Values near one that a user believes in."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spaces.fields import Value

__all__ = ["draw_near", "drawn_near"]

_SPREAD = 0.2
"""Standard deviation of the places of numbers, as a share of the range on its own scale."""

_BELIEF = 0.5
"""How often the choice itself is taken; else one of all choices."""


def drawn_near(
    distributions: Mapping[str, BaseDistribution], priors: Mapping[str, Value], rng: np.random.Generator
) -> dict[str, Value]:
    """Draw a value near the prior of each field that has one."""
    return {name: draw_near(distributions[name], prior, rng) for name, prior in priors.items()}


def draw_near(distribution: BaseDistribution, prior: Value, rng: np.random.Generator) -> Value:
    """Draw a value: numbers from a normal distribution around the prior, cut at the range's ends."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return prior if rng.random() < _BELIEF else choices[int(rng.integers(len(choices)))]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    assert isinstance(prior, (int, float))
    scale, unscale = (math.log, math.exp) if distribution.log else (float, float)
    low, high = scale(distribution.low), scale(distribution.high)
    place = rng.normal(scale(prior), _SPREAD * (high - low))
    while not low <= place <= high:
        place = rng.normal(scale(prior), _SPREAD * (high - low))
    return _nearest(distribution, unscale(place))


def _nearest(distribution: FloatDistribution | IntDistribution, number: float) -> int | float:
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None:
        number = low + step * round((number - low) / step)
    number = min(max(number, low), high)
    return int(number) if isinstance(distribution, IntDistribution) else float(number)
