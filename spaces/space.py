"""The search space: which fields of a run vary, over what, ready for Optuna."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution

from pruning_core.errors import InvalidSettingsError
from spaces.distributions import describe, holds, num_values, suggest
from spaces.fields import Value

__all__ = ["SearchSpace"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """Dotted name to distribution, in the order of the spec; made by ``build_space``."""

    distributions: Mapping[str, BaseDistribution]

    def suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        """Draw one value per field through Optuna's trial."""
        return {name: suggest(trial, name, one) for name, one in self.distributions.items()}

    @property
    def num_configurations(self) -> int | None:
        """How many different configurations there are; None if a range is continuous."""
        product = 1
        for distribution in self.distributions.values():
            count = num_values(distribution)
            if count is None:
                return None
            product *= count
        return product

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
            InvalidSettingsError: A name does not vary, or a value lies outside its range.
        """
        self.check_names(values)
        for name, value in values.items():
            if not holds(self.distributions[name], value):
                raise InvalidSettingsError(
                    f"'{name}' must be {describe(self.distributions[name])}, but got {value!r}"
                )
