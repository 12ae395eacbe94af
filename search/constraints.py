"""What a network must fulfil to count, beyond its budgets: ``params: "<= 0.3M"``, ``accuracy: ">= 90%"``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pruning_core.budgets import Budget, parse_budget
from pruning_core.errors import InvalidSettingsError
from reports.scores import NetworkScores

__all__ = ["NOT_BUILT_YET", "QUANTITIES", "Constraint", "parse_constraint"]

QUANTITIES = ("accuracy", "macs", "params")
"""What can be an objective or be constrained."""

NOT_BUILT_YET = ("latency_ms",)
"""Quantities of the design that this version cannot measure during a search."""

_FORM = re.compile(r"^\s*(<=|>=)\s*(.+?)\s*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """One limit: a lower one on accuracy (in [0, 1]), an upper one on a cost (share of dense, or absolute)."""

    quantity: str
    limit: Budget

    def violation(self, scores: NetworkScores) -> float:
        """Return by how much the limit is missed, in [-1, 1] for a network no dearer than dense; <= 0 is satisfied.

        Costs are in shares of the dense network's, so that violations of different quantities can be compared.
        """
        if self.quantity == "accuracy":
            assert self.limit.share is not None
            return self.limit.share - scores.accuracy
        came, dense = (
            (scores.macs, scores.dense_macs)
            if self.quantity == "macs"
            else (scores.params, scores.dense_params)
        )
        return (came - self.limit.limit(dense)) / dense


def parse_constraint(quantity: str, text: str) -> Constraint:
    """Read a constraint as it is written in a spec.

    Raises:
        InvalidSettingsError: An unknown quantity, the wrong side, or no number. The text starts with the key.
    """
    key = f"'constraints.{quantity}'"
    if quantity not in QUANTITIES:
        raise InvalidSettingsError(f"{key}: {unknown_quantity(quantity)}")
    relation, example = (">=", ">= 90%") if quantity == "accuracy" else ("<=", "<= 0.3M or <= 40%")
    problem = f"{key}: must look like {example}, but got {text!r}"
    match = _FORM.match(text)
    if match is None or match[1] != relation:
        raise InvalidSettingsError(problem)
    try:
        limit = parse_budget(match[2])
    except ValueError:
        raise InvalidSettingsError(problem) from None
    if quantity == "accuracy" and limit.share is None:
        raise InvalidSettingsError(f"{problem}; an accuracy is a share in (0, 1] or a percentage")
    return Constraint(quantity=quantity, limit=limit)


def unknown_quantity(name: str) -> str:
    """Say why a name cannot be an objective or be constrained."""
    if name in NOT_BUILT_YET:
        return f"{name} is not built yet; known are {', '.join(QUANTITIES)}."
    return f"unknown quantity; known are {', '.join(QUANTITIES)}."
