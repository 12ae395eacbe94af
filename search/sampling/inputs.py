"""Configurations as rows of numbers, as models read them.

Shape suffixes used in this file:
    C  configurations
    F  inputs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.sampling.budget_axes import BudgetAxis
from spaces import SearchSpace

__all__ = ["Inputs"]

Floats = NDArray[np.float64]


class Inputs:
    """Configurations as rows of numbers in [0, 1]; a field that does not exist in one lies in the middle."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = dict(space.distributions)
        self._transform = _SearchSpaceTransform(self._space, transform_0_1=True)
        self._bounds = _SearchSpaceTransform(self._space).bounds
        self.num_inputs = len(self._bounds)
        self._columns = dict(zip(self._space, self._transform.column_to_encoded_columns, strict=True))
        self._middle = self.values(np.full(self.num_inputs, 0.5))

    def encode(self, configurations: Sequence[Mapping[str, Any]]) -> Floats:
        """Write configurations as rows."""
        rows_CF = np.empty((len(configurations), self.num_inputs))
        for name, columns in self._columns.items():
            values = [one.get(name, self._middle[name]) for one in configurations]
            rows_CF[:, columns] = self._encode_field(name, values)
        return rows_CF

    def _encode_field(self, name: str, values: Sequence[Any]) -> Floats:
        one = self._space[name]
        if isinstance(one, CategoricalDistribution):
            chosen = [int(one.to_internal_repr(value)) for value in values]
            return np.eye(len(one.choices))[chosen]
        assert isinstance(one, (FloatDistribution, IntDistribution))
        values_C1 = np.array(values, dtype=np.float64)[:, None]
        low, high = self._bounds[self._columns[name][0]]
        if low == high:
            return np.full_like(values_C1, 0.5)
        places_C1: Floats = ((np.log(values_C1) if one.log else values_C1) - low) / (high - low)
        return places_C1

    def values(self, row_F: Floats) -> dict[str, Any]:
        """Return the configuration that a row stands for."""
        return self._transform.untransform(row_F)

    def settle(self, rows_CF: Floats, given: Mapping[str, Any]) -> Floats:
        """Return rows that stand for configurations: inside the ranges, with one choice of each, and what is given."""
        rows_CF = np.clip(rows_CF, 0.0, 1.0)
        given_F = self.encode([given])[0]
        for name, columns in self._columns.items():
            if name in given:
                rows_CF[:, columns] = given_F[columns]
            elif isinstance(self._space[name], CategoricalDistribution):
                rows_CF[:, columns] = np.eye(len(columns))[rows_CF[:, columns].argmax(axis=1)]
        return rows_CF

    def budgets(self, rows_CF: Floats, axis: BudgetAxis) -> Floats:
        """Return the value of one budget in each row."""
        columns, one = self._columns[axis.name], self._space[axis.name]
        if isinstance(one, CategoricalDistribution):
            choices = np.array([float(str(choice)) for choice in one.choices])
            chosen_C: Floats = choices[rows_CF[:, columns].argmax(axis=1)]
            return chosen_C
        return axis.values(rows_CF[:, columns[0]])
