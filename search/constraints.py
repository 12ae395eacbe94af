"""What a network must fulfil to count, beyond its budgets: ``params: "<= 0.3M"``, ``accuracy: ">= 90%"``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pruning_core.budgets import COUNTED_ALWAYS, Budget, Resource, parse_budget, parse_latency_budget
from pruning_core.errors import InvalidSettingsError
from reports.scores import NetworkScores

__all__ = ["BUDGETED", "QUANTITIES", "Constraint", "parse_constraint", "unknown_quantity"]

QUANTITIES = ("accuracy", *map(str, Resource))
"""What can be an objective or be constrained."""

BUDGETED = tuple(str(resource) for resource in Resource if resource not in COUNTED_ALWAYS)
"""Quantities that are known only of runs with a budget on them; a budget of 1.0 limits nothing."""

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
        resource = Resource(self.quantity)
        came, dense = (resource.amount(cost) for cost in (scores.cost(resource), scores.dense_cost(resource)))
        return (came - self.limit.limit(dense)) / dense


def parse_constraint(quantity: str, text: str) -> Constraint:
    """Read a constraint as it is written in a spec.

    Raises:
        InvalidSettingsError: An unknown quantity, the wrong side, or no number. The text starts with the key.
    """
    key = f"'constraints.{quantity}'"
    if quantity not in QUANTITIES:
        raise InvalidSettingsError(f"{key}: {unknown_quantity()}")
    relation, example = (">=", ">= 90%") if quantity == "accuracy" else ("<=", "<= 0.3M or <= 40%")
    if quantity == Resource.LATENCY:
        example = "<= 0.8ms or <= 40%"
    problem = f"{key}: must look like {example}, but got {text!r}"
    match = _FORM.match(text)
    if match is None or match[1] != relation:
        raise InvalidSettingsError(problem)
    try:
        limit = (parse_latency_budget if quantity == Resource.LATENCY else parse_budget)(match[2])
    except ValueError:
        raise InvalidSettingsError(problem) from None
    if quantity == "accuracy" and limit.share is None:
        raise InvalidSettingsError(f"{problem}; an accuracy is a share in (0, 1] or a percentage")
    return Constraint(quantity=quantity, limit=limit)


def unknown_quantity() -> str:
    """Say why a name cannot be an objective or be constrained."""
    return f"unknown quantity; known are {', '.join(QUANTITIES)}."
