"""A NumPy array to which rows are appended, without copying all of it each time."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["GrowingArray"]

Scalar = TypeVar("Scalar", bound=np.generic)


class GrowingArray(Generic[Scalar]):
    """Rows of one shape and type, in memory that doubles when it is full.

    Args:
        shape: Of one row.
        dtype: Of one element.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type[Scalar]) -> None:
        self._memory: NDArray[Scalar] = np.empty((16, *shape), dtype)
        self._num_rows = 0

    def __len__(self) -> int:
        return self._num_rows

    @property
    def rows(self) -> NDArray[Scalar]:
        """A view of the rows; it is of use until the next change of their number."""
        return self._memory[: self._num_rows]

    def append(self, row: Any) -> None:
        """Add a row: whatever NumPy can make one of."""
        if self._num_rows == len(self._memory):
            self._memory = np.concatenate([self._memory, np.empty_like(self._memory)])
        self._memory[self._num_rows] = row
        self._num_rows += 1

    def replace(self, rows: NDArray[Scalar]) -> None:
        """Hold a copy of other rows instead."""
        self._memory = np.empty((max(16, 2 * len(rows)), *self._memory.shape[1:]), self._memory.dtype)
        self._memory[: len(rows)] = rows
        self._num_rows = len(rows)
