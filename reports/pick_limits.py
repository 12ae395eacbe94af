"""Limits as users type them: ``40%`` of the dense one, ``20M``, ``0.8ms``, ``92%``, points of accuracy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reports.formats import amount_of, percent, points
from reports.scores import NetworkScores

__all__ = ["COST_LIMITS", "CostLimit", "PickLimits", "describe_cost", "describe_excess", "parse_limits"]

_NUMBER = re.compile(r"^\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*([a-zA-Z%]*)\s*$")
_SHARE = {"%": 0.01}
_COUNT = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    """How a limited cost is called, typed (``units``, in capitals) and missed."""

    resource: str
    label: str
    missed: str
    units: Mapping[str, float]
    example: str


_COSTS = {
    "max_macs": _Cost(
        resource="macs",
        label="FLOPs (MACs)",
        missed="too many",
        units=_COUNT,
        example="an amount such as 20M",
    ),
    "max_params": _Cost(
        resource="params", label="params", missed="too many", units=_COUNT, example="an amount such as 20M"
    ),
    "max_activation_memory": _Cost(
        resource="activation_memory",
        label="activation memory",
        missed="too much",
        units=_COUNT | {f"{unit}B": size for unit, size in _COUNT.items()},
        example="an amount such as 300KB",
    ),
    "max_latency_ms": _Cost(
        resource="latency_ms",
        label="latency",
        missed="too much",
        units={"": 1.0, "MS": 1.0, "US": 1e-3},
        example="a time such as 0.8ms",
    ),
}


COST_LIMITS = frozenset(_COSTS)
"""Names of the limits that are on a cost; the others are on accuracy."""
_ACCURACIES = ("min_accuracy", "max_drop")
_ROUNDING = 1e-12  # of differences between accuracies


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLimit:
    """At most a ``share`` of the dense network's cost, or at most an ``amount``; exactly one is set."""

    share: float | None = None
    amount: float | None = None

    def resolve(self, dense: float) -> float:
        """Return the largest cost allowed, given the dense network's."""
        if self.amount is not None:
            return self.amount
        assert self.share is not None
        return self.share * dense * (1 + 1e-9)


@dataclass(frozen=True, kw_only=True, slots=True)
class PickLimits:
    """What the chosen network must satisfy; None: no limit.

    Amounts are MACs, params, bytes and milliseconds. ``min_accuracy`` is a validation accuracy in [0, 1], ``max_drop``
    the dense network's validation accuracy minus its own at most, in [0, 1] as well.
    """

    max_macs: CostLimit | None = None
    max_params: CostLimit | None = None
    max_activation_memory: CostLimit | None = None
    max_latency_ms: CostLimit | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of the limits that are set."""
        return tuple(name for name in (*_COSTS, *_ACCURACIES) if getattr(self, name) is not None)

    @property
    def are_on_accuracy(self) -> bool:
        """Whether there are limits, and all of them are on accuracy."""
        return bool(self.names()) and set(self.names()) <= set(_ACCURACIES)

    def without(self, *names: str) -> PickLimits:
        """Return all limits but some."""
        return replace(self, **dict.fromkeys(names))

    def text_of(self, name: str) -> str:
        """Write one of the limits that are set: ``at most 40% of the FLOPs (MACs)``."""
        if name == "min_accuracy":
            assert self.min_accuracy is not None
            return f"at least {100 * self.min_accuracy:.6g}% accuracy"
        if name == "max_drop":
            assert self.max_drop is not None
            return f"at most {100 * self.max_drop:.6g} points less accuracy than the dense network"
        return f"at most {_limit_text(name, getattr(self, name))}"

    def unknown_costs(self, scores: NetworkScores) -> tuple[str, ...]:
        """Return the limited resources that were not measured of a network."""
        return tuple(
            _COSTS[name].resource
            for name, _ in self._costs()
            if getattr(scores, _COSTS[name].resource) is None
        )

    def excess(self, scores: NetworkScores) -> dict[str, float]:
        """Return by how much a network misses each violated limit.

        Costs as shares of the dense network, accuracy as a difference of accuracies: all positive, without unit.

        Raises:
            ValueError: A limited cost was not measured of this network.
        """
        excess: dict[str, float] = {}
        for name, limit in self._costs():
            resource = _COSTS[name].resource
            dense = scores.dense_cost(resource)
            excess[name] = (scores.cost(resource) - limit.resolve(dense)) / dense
        if self.min_accuracy is not None:
            excess["min_accuracy"] = self.min_accuracy - scores.accuracy - _ROUNDING
        if self.max_drop is not None:
            excess["max_drop"] = scores.accuracy_drop - self.max_drop - _ROUNDING
        return {name: value for name, value in excess.items() if value > 0}

    def __str__(self) -> str:
        return " and ".join(map(self.text_of, self.names())) or "no limits"

    def _costs(self) -> tuple[tuple[str, CostLimit], ...]:
        limits = ((name, getattr(self, name)) for name in _COSTS)
        return tuple((name, limit) for name, limit in limits if limit is not None)


def parse_limits(
    *,
    max_macs: str | float | None = None,
    max_params: str | float | None = None,
    max_activation_memory: str | float | None = None,
    max_latency_ms: str | float | None = None,
    min_accuracy: str | float | None = None,
    max_drop: str | float | None = None,
) -> PickLimits:
    """Read limits as typed.

    Costs: ``"40%"`` or ``0.4`` of the dense network, or an amount such as ``"20M"`` or ``300000``, of memory
    ``"300KB"``, of latency ``"0.8ms"`` or ``"750us"``. Accuracy: ``"92%"`` or ``0.92``. Drop of accuracy against
    the dense network, always in percentage points: ``"0.5"``, ``0.5`` and ``"0.5%"`` are half a point.

    Raises:
        ValueError: A text is no number, or outside its range.
    """
    return PickLimits(
        max_macs=_parse_cost("max_macs", max_macs),
        max_params=_parse_cost("max_params", max_params),
        max_activation_memory=_parse_cost("max_activation_memory", max_activation_memory),
        max_latency_ms=_parse_cost("max_latency_ms", max_latency_ms),
        min_accuracy=None if min_accuracy is None else _parse_accuracy(min_accuracy),
        max_drop=None if max_drop is None else _parse_drop(max_drop),
    )


def describe_excess(name: str, excess: float, scores: NetworkScores) -> str:
    """Say in words by how much a network misses one limit."""
    if name in _ACCURACIES:
        return f"{points(excess).lstrip('+')} points of accuracy too low"
    cost = _COSTS[name]
    over = excess * scores.dense_cost(cost.resource)
    return f"{amount_of(cost.resource, over)} {cost.label} {cost.missed}"


def describe_cost(name: str, scores: NetworkScores) -> str:
    """Say what a network costs of what one limit is on: ``20.3M FLOPs (MACs) (41.0%)``."""
    cost = _COSTS[name]
    spent = scores.cost(cost.resource)
    share = spent / scores.dense_cost(cost.resource)
    return f"{amount_of(cost.resource, spent)} {cost.label} ({percent(share)})"


def _limit_text(name: str, limit: CostLimit) -> str:
    cost = _COSTS[name]
    if limit.share is not None:
        return f"{100 * limit.share:.6g}% of the {cost.label}"
    assert limit.amount is not None
    return f"{amount_of(cost.resource, limit.amount)} {cost.label}"


def _parse_cost(name: str, value: str | float | None) -> CostLimit | None:
    if value is None:
        return None
    cost = _COSTS[name]
    number, unit = _split(value)
    if number is not None and number > 0:
        if unit in _SHARE or (unit == "" and number <= 1):
            return CostLimit(share=number * _SHARE.get(unit, 1.0))
        if unit in cost.units:
            return CostLimit(amount=number * cost.units[unit])
    what = cost.resource if cost.units is _COUNT else cost.label
    raise ValueError(
        f"the largest {what} must be a share such as 40% or {cost.example}, but got {str(value)!r}"
    )


def _parse_accuracy(value: str | float) -> float:
    number, unit = _split(value)
    if number is not None and unit in ("", *_SHARE):
        accuracy = number * _SHARE.get(unit, 1.0)
        if 0 <= accuracy <= 1:
            return accuracy
    raise ValueError(f"the lowest accuracy must be written as 92% or 0.92, but got {str(value)!r}")


def _parse_drop(value: str | float) -> float:
    number, unit = _split(value)
    if number is not None and unit in ("", *_SHARE) and number <= 100:
        return number / 100
    raise ValueError(
        "the largest drop of accuracy must be in points against the dense network, such as 0.5 or 0.5% "
        f"(0 to 100), but got {str(value)!r}"
    )


def _split(value: str | float) -> tuple[float | None, str]:
    match = _NUMBER.match(str(value))
    if match is None:
        return None, ""
    return float(match[1]), match[2].upper()
