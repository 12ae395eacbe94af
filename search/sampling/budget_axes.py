"""The budgets that vary in a search, as axes along which its front is made.

A budget is the one kind of field whose effect is known beforehand: a network costs what its budget says, or a
rounding step less.

Shape suffixes used in this file:
    C  values or places
    L  levels
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spaces import SearchSpace

__all__ = ["BudgetAxis", "budget_axes"]

Floats = NDArray[np.float64]

_SECTION = "budgets."


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetAxis:
    """One budget that varies, with places in [0, 1] from its lowest to its highest value, on its own scale.

    ``levels``: all values in rising order, where there are only some.
    """

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    is_whole: bool
    levels: tuple[float, ...] = ()

    @property
    def resource(self) -> str:
        """What the budget limits."""
        return self.name.removeprefix(_SECTION)

    def place(self, value: float) -> float:
        """Return where a value lies; outside [0, 1] if it lies outside the range."""
        return float(self.places(np.array([value]))[0])

    def places(self, values_C: Floats) -> Floats:
        """Return where values lie, as `place` does."""
        if self.log:
            logarithms_C: Floats = np.log(values_C / self.low) / math.log(self.high / self.low)
            return logarithms_C
        return (values_C - self.low) / (self.high - self.low)

    def value(self, place: float) -> int | float:
        """Return the allowed value that lies nearest to a place in [0, 1]."""
        value = float(self.values(np.array([place]))[0])
        return round(value) if self.is_whole else value

    def values(self, places_C: Floats) -> Floats:
        """Return the allowed values that lie nearest to places in [0, 1]; whole ones as floats, too."""
        span = self.high - self.low
        values_C = self.low * (self.high / self.low) ** places_C if self.log else self.low + span * places_C
        if self.levels:
            levels_L = np.array(self.levels)
            values_C = levels_L[np.abs(levels_L - values_C[:, None]).argmin(axis=1)]
        elif self.step is not None:
            values_C = self.low + self.step * np.rint((values_C - self.low) / self.step)
        values_C = np.clip(values_C, self.low, self.high)
        return np.rint(values_C) if self.is_whole else values_C


def budget_axes(space: SearchSpace) -> tuple[BudgetAxis, ...]:
    """Return the budgets of a space that every configuration has, in the order of the space.

    A budget that may be absent, exists under a condition only, or is a share here and an amount there is none of them.
    """
    axes = (
        _axis(name, distribution)
        for name, distribution in space.distributions.items()
        if name.startswith(_SECTION) and name not in space.conditions
    )
    return tuple(axis for axis in axes if axis is not None)


def _axis(name: str, distribution: BaseDistribution) -> BudgetAxis | None:
    if isinstance(distribution, CategoricalDistribution):
        levels = [choice for choice in distribution.choices if type(choice) in {int, float}]
        kinds = {type(level) for level in levels}
        if len(levels) < len(distribution.choices) or len(kinds) != 1 or len(levels) < 2:
            return None
        rising = tuple(sorted(float(str(level)) for level in levels))
        return BudgetAxis(
            name=name,
            low=rising[0],
            high=rising[-1],
            log=False,
            step=None,
            is_whole=kinds == {int},
            levels=rising,
        )
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return BudgetAxis(
        name=name,
        low=distribution.low,
        high=distribution.high,
        log=distribution.log,
        step=distribution.step,
        is_whole=isinstance(distribution, IntDistribution),
    )
