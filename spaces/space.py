"""The search space: which fields of a run vary, over what, ready for Optuna."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from pruning_core.errors import InvalidSettingsError
from spaces.conditions import Condition, describe_condition, holds_in
from spaces.distributions import describe, holds, num_values, suggest
from spaces.fields import Value

__all__ = ["SearchSpace"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """Made by ``build_space``.

    ``distributions``: by dotted name, in the order of the spec but none before one that it depends on.
    ``conditions``: under which a field exists, for those that do not always. ``priors``: values that are believed to be
    good, of fields that have one.
    """

    distributions: Mapping[str, BaseDistribution]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    priors: Mapping[str, Value] = field(default_factory=dict)

    def suggest(self, trial: optuna.Trial, given: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Draw one value per field that exists through Optuna's trial, except for fields that are given."""
        values: dict[str, Value] = {}
        for name, distribution in self.distributions.items():
            if not self.exists(name, values):
                continue
            if given is not None and name in given:
                values[name] = given[name]
            else:
                values[name] = suggest(trial, name, distribution)
        return values

    def exists(self, name: str, values: Mapping[str, object]) -> bool:
        """Whether a field varies in a configuration; fields that it depends on must be in ``values`` if they do."""
        return holds_in(self.conditions.get(name, {}), values)

    def existing(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Leave out the fields that do not exist in a configuration."""
        kept: dict[str, Value] = {}
        for name in self.distributions:
            if name in values and self.exists(name, kept):
                kept[name] = values[name]
        return kept

    def describe(self, name: str) -> str:
        """Say what a field may be, and when: ``one of 1, 2, 4, when method is interpretation_steered``."""
        condition = self.conditions.get(name)
        suffix = f", when {describe_condition(condition)}" if condition else ""
        return f"{describe(self.distributions[name])}{suffix}"

    @property
    def num_configurations(self) -> int | None:
        """How many different configurations there are; None if a range is continuous."""
        counts = {name: num_values(one) for name, one in self.distributions.items()}
        if None in counts.values():
            return None
        parents = {parent for condition in self.conditions.values() for parent in condition}
        return self._count(list(self.distributions), {}, parents)

    def _count(self, names: Sequence[str], values: Mapping[str, Value], parents: Collection[str]) -> int:
        """Count the configurations of some fields, given the values of those that they depend on."""
        if not names:
            return 1
        name, *others = names
        if not self.exists(name, values):
            return self._count(others, values, parents)
        distribution = self.distributions[name]
        if name in parents:
            assert isinstance(distribution, CategoricalDistribution)
            return sum(self._count(others, {**values, name: one}, parents) for one in distribution.choices)
        return (num_values(distribution) or 1) * self._count(others, values, parents)

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse fields that do not vary.

        Raises:
            InvalidSettingsError: Names the first of them and the fields that do vary.
        """
        for name in names:
            if name not in self.distributions:
                raise InvalidSettingsError(
                    f"'{name}' does not vary in this search. Fields that do: {', '.join(self.distributions)}."
                )

    def check_point(self, values: Mapping[str, object]) -> None:
        """Refuse a configuration, complete or partial, that the space does not hold.

        Raises:
            InvalidSettingsError: A name does not vary, or not in this configuration, or a value lies outside its range.
        """
        self.check_names(values)
        for name, value in values.items():
            if not holds(self.distributions[name], value):
                raise InvalidSettingsError(
                    f"'{name}' must be {describe(self.distributions[name])}, but got {value!r}"
                )
        for name in values:
            self._check_exists(name, values)

    def _check_exists(self, name: str, values: Mapping[str, object]) -> None:
        condition = self.conditions.get(name, {})
        for parent, allowed in condition.items():
            if parent not in values:
                raise InvalidSettingsError(
                    f"'{name}' varies only when {describe_condition(condition)}, so {parent} must be given with it"
                )
            if not holds_in({parent: allowed}, values):
                raise InvalidSettingsError(
                    f"'{name}' varies only when {describe_condition(condition)}, but got {parent}={values[parent]!r}"
                )
