"""Refuses to search over what changes nothing: its trials would be repeats of each other."""

from __future__ import annotations

import itertools

from optuna.distributions import CategoricalDistribution

from pruning_core.config import MethodName
from pruning_core.errors import InvalidSettingsError
from pruning_core.stages import fields_read_by
from search.spec import SearchSpec

__all__ = ["check_effects"]


def check_effects(spec: SearchSpec) -> None:
    """Refuse a field that no stage of the run's methods reads.

    Raises:
        InvalidSettingsError: Names the field and the methods.
    """
    methods = [MethodName(name) for name in _choices(spec, "method", spec.run.method)]
    allocations = _choices(spec, "importance.allocation", spec.run.importance.allocation)
    priors = [
        MethodName(name) if name else None for name in _choices(spec, "gates.prior", spec.run.gates.prior)
    ]
    read = frozenset[str]().union(
        *(fields_read_by(*found) for found in itertools.product(methods, allocations, priors))
    )
    for name in spec.search:
        if name not in read and name != "method":
            raise InvalidSettingsError(
                f"'search.{name}': has no effect with method {' or '.join(methods)}, so its trials would repeat each "
                "other; take it out of search, or choose another method"
            )


def _choices(spec: SearchSpec, name: str, fixed: str | None) -> list[str]:
    """Return all values that a field takes in a search; empty stands for none."""
    varied = spec.space.distributions.get(name)
    if isinstance(varied, CategoricalDistribution):
        return [str(choice or "") for choice in varied.choices]
    return [fixed or ""]
