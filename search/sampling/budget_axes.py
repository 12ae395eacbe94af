"""The budgets that vary in a search, as axes along which its front is made.

A budget is the one kind of field whose effect is known beforehand: a network costs what its budget says, or a
rounding step less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spaces import SearchSpace

__all__ = ["BudgetAxis", "budget_axes"]

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
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, place: float) -> int | float:
        """Return the allowed value that lies nearest to a place in [0, 1]."""
        span = self.high - self.low
        value = self.low * (self.high / self.low) ** place if self.log else self.low + span * place
        if self.levels:
            value = min(self.levels, key=lambda level: abs(level - value))
        elif self.step is not None:
            value = self.low + self.step * round((value - self.low) / self.step)
        value = min(max(value, self.low), self.high)
        return round(value) if self.is_whole else float(value)


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
