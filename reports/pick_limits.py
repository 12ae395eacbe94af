"""Limits a user types when choosing a network: ``40%`` of the dense one, ``20M``, ``92%``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reports.formats import amount, percent
from reports.scores import NetworkScores

__all__ = ["CostLimit", "PickLimits", "describe_excess", "parse_limits"]

_NUMBER = re.compile(r"^\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*([KMGkmg%]?)\s*$")
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "%": 0.01}
_LABELS = {"max_macs": "FLOPs (MACs)", "max_params": "params", "min_accuracy": "accuracy"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLimit:
    """At most a ``share`` of the dense network's cost, or at most an ``amount``; exactly one is set."""

    share: float | None = None
    amount: float | None = None

    def resolve(self, dense: int) -> float:
        """Return the largest cost allowed, given the dense network's."""
        if self.amount is not None:
            return self.amount
        assert self.share is not None
        return self.share * dense * (1 + 1e-9)

    def __str__(self) -> str:
        if self.share is not None:
            return f"{100 * self.share:.6g}%"
        assert self.amount is not None
        return amount(self.amount)


@dataclass(frozen=True, kw_only=True, slots=True)
class PickLimits:
    """What the chosen network must satisfy; None: no limit. ``min_accuracy`` is a validation accuracy in [0, 1]."""

    max_macs: CostLimit | None = None
    max_params: CostLimit | None = None
    min_accuracy: float | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of the limits that are set."""
        return tuple(name for name in _LABELS if getattr(self, name) is not None)

    def excess(self, scores: NetworkScores) -> dict[str, float]:
        """Return by how much a network misses each violated limit.

        Costs as shares of the dense network, accuracy as a difference of accuracies: all positive, without unit.
        """
        excess: dict[str, float] = {}
        if self.max_macs is not None:
            over = scores.macs - self.max_macs.resolve(scores.dense_macs)
            excess["max_macs"] = over / scores.dense_macs
        if self.max_params is not None:
            over = scores.params - self.max_params.resolve(scores.dense_params)
            excess["max_params"] = over / scores.dense_params
        if self.min_accuracy is not None:
            excess["min_accuracy"] = self.min_accuracy - scores.accuracy - 1e-12
        return {name: value for name, value in excess.items() if value > 0}

    def __str__(self) -> str:
        parts = [f"at most {limit} {label}" for limit, label in self._costs() if limit is not None]
        if self.min_accuracy is not None:
            parts.append(f"at least {100 * self.min_accuracy:.6g}% accuracy")
        return " and ".join(parts) or "no limits"

    def _costs(self) -> tuple[tuple[CostLimit | None, str], ...]:
        return (
            (self.max_macs, "of the " * _is_share(self.max_macs) + "FLOPs (MACs)"),
            (self.max_params, "of the " * _is_share(self.max_params) + "params"),
        )


def parse_limits(
    *,
    max_macs: str | float | None = None,
    max_params: str | float | None = None,
    min_accuracy: str | float | None = None,
) -> PickLimits:
    """Read limits as typed.

    Costs: ``"40%"`` or ``0.4`` of the dense network, or an amount such as ``"20M"`` or ``300000``. Accuracy:
    ``"92%"`` or ``0.92``.

    Raises:
        ValueError: A text is no number, or outside its range.
    """
    return PickLimits(
        max_macs=None if max_macs is None else _parse_cost("macs", max_macs),
        max_params=None if max_params is None else _parse_cost("params", max_params),
        min_accuracy=None if min_accuracy is None else _parse_accuracy(min_accuracy),
    )


def describe_excess(name: str, excess: float, scores: NetworkScores) -> str:
    """Say in words by how much a network misses one limit."""
    if name == "min_accuracy":
        return f"{percent(excess, 2)[:-1]} points of accuracy too low"
    dense = scores.dense_macs if name == "max_macs" else scores.dense_params
    return f"{amount(excess * dense)} {_LABELS[name]} too many"


def _is_share(limit: CostLimit | None) -> bool:
    return limit is not None and limit.share is not None


def _parse_cost(resource: str, value: str | float) -> CostLimit:
    number, unit = _split(value)
    problem = (
        f"the largest {resource} must be a share such as 40% or an amount such as 20M, but got {str(value)!r}"
    )
    if number is None or number <= 0:
        raise ValueError(problem)
    if unit == "%" or (unit == "" and number <= 1):
        return CostLimit(share=number * _UNITS[unit])
    return CostLimit(amount=number * _UNITS[unit])


def _parse_accuracy(value: str | float) -> float:
    number, unit = _split(value)
    if number is not None and unit in ("", "%") and 0 <= number * _UNITS[unit] <= 1:
        return number * _UNITS[unit]
    raise ValueError(f"the lowest accuracy must be written as 92% or 0.92, but got {str(value)!r}")


def _split(value: str | float) -> tuple[float | None, str]:
    match = _NUMBER.match(str(value))
    if match is None:
        return None, ""
    return float(match[1]), match[2].upper()
