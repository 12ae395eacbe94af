"""Refuses to search over what changes nothing: its trials would be repeats of each other."""

from __future__ import annotations

import itertools

from optuna.distributions import CategoricalDistribution

from pruning_core.config import MethodName
from pruning_core.errors import InvalidSettingsError
from pruning_core.stages import fields_read_by
from search.spec import SearchSpec
from spaces.conditions import Condition

__all__ = ["check_effects"]


def check_effects(spec: SearchSpec) -> None:
    """Refuse a field that no stage of the run's methods reads; of a field under a condition, of the methods there.

    Raises:
        InvalidSettingsError: Names the field and the methods.
    """
    for name in spec.search:
        condition = spec.space.conditions.get(name, {})
        methods = [MethodName(one) for one in _choices(spec, condition, "method", spec.run.method)]
        allocations = _choices(spec, condition, "importance.allocation", spec.run.importance.allocation)
        priors = [
            MethodName(one) if one else None
            for one in _choices(spec, condition, "gates.prior", spec.run.gates.prior)
        ]
        read = frozenset[str]().union(
            *(fields_read_by(*found) for found in itertools.product(methods, allocations, priors))
        )
        if name not in read and name != "method":
            raise InvalidSettingsError(
                f"'search.{name}': has no effect with method {' or '.join(methods)}, so its trials would repeat each "
                "other; take it out of search, or choose another method"
            )


def _choices(spec: SearchSpec, condition: Condition, name: str, fixed: str | None) -> list[str]:
    """Return all values that a field takes in a search where a condition holds; empty stands for none."""
    varied = spec.space.distributions.get(name)
    if not isinstance(varied, CategoricalDistribution):
        return [fixed or ""]
    choices = [str(choice or "") for choice in condition.get(name, varied.choices)]
    return choices if name not in spec.space.conditions else [*choices, fixed or ""]
