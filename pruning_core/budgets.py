"""Budgets: hard limits on what one network may cost.

A budget is written as a share of the dense network (``0.5``) or as an absolute amount (``"20M"``, ``300000``).
This file loads no torch: the command line and the search space use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_AMOUNT = re.compile(r"^\s*(\d+(?:\.\d+)?(?:[eE][+]?\d+)?)\s*([KkMmGg%]?)\s*$")


class Resource(StrEnum):
    """What a network costs.

    ``macs`` are the multiply-accumulates of one image through all convolutions and linear layers;
    ``params`` are all trainable numbers.
    """

    MACS = "macs"
    PARAMS = "params"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """An upper limit: exactly one of ``share`` (in (0, 1]) and ``amount`` (at least 1) is set."""

    share: float | None = None
    amount: int | None = None

    def limit(self, dense: int) -> int:
        """Return the largest whole amount allowed, given the dense network's amount."""
        if self.amount is not None:
            return self.amount
        assert self.share is not None
        return int(self.share * dense + 1e-9 * dense)

    def __str__(self) -> str:
        return f"{self.share:g}" if self.share is not None else str(self.amount)


def parse_budget(value: object) -> Budget:
    """Read ``0.5``, ``"50%"``, ``"20M"`` or ``300000``.

    Numbers up to 1 are shares of the dense network, larger ones absolute amounts.

    Raises:
        ValueError: The text is no number, or the share is outside (0, 1].
    """
    problem = f"a budget must be a share in (0, 1] such as 0.5 or an amount such as 20M, but got {value!r}"
    if isinstance(value, Budget):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(problem)
    match = _AMOUNT.match(str(value))
    if match is None:
        raise ValueError(problem)
    number, unit = float(match[1]), match[2].upper()
    if unit == "%":
        number, unit = number / 100, ""
        if number > 1:
            raise ValueError(problem)
    if unit == "" and number <= 1:
        if number <= 0:
            raise ValueError(problem)
        return Budget(share=number)
    amount = number * _UNITS[unit]
    if amount < 1 or (unit == "" and amount != int(amount)):
        raise ValueError(problem)
    return Budget(amount=round(amount))
