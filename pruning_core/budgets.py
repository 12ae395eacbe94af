"""Budgets: hard limits on what one network may cost.

A budget is written as a share of the dense network (``0.5``) or as an absolute amount (``"20M"``, ``300000``; of
memory in bytes, of latency ``"0.8ms"``).
This file loads no torch: the command line and the search space use it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_AMOUNT = re.compile(r"^\s*(\d+(?:\.\d+)?(?:[eE][+]?\d+)?)\s*([KkMmGg%]?)\s*$")
_LATENCY = re.compile(r"^\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%|ms|us|)\s*$")
NANOSECONDS_PER_MS = 10**6


class Resource(StrEnum):
    """What a network costs; amounts are whole numbers, so that a limit is met or not.

    ``macs`` are the multiply-accumulates of one image through all convolutions and linear layers;
    ``params`` are all trainable numbers; ``activation_memory`` are the bytes of the tensors alive at once, at the
    step of the forward pass where they are most (one image, 4 bytes per number); ``latency_ms`` is the time of one
    forward pass by a measured table, with amounts in nanoseconds; ``block_macs`` is what Ganjdanesh et al. (ECCV 2022)
    count: the layers inside residual blocks, and 3 per number that they write (see ``channels/block_macs.py``).
    """

    MACS = "macs"
    PARAMS = "params"
    ACTIVATION_MEMORY = "activation_memory"
    LATENCY = "latency_ms"
    BLOCK_MACS = "block_macs"

    def shown(self, amount: int) -> int | float:
        """Return an amount in the unit that records and messages use: milliseconds instead of nanoseconds."""
        return amount / NANOSECONDS_PER_MS if self is Resource.LATENCY else amount

    def amount(self, shown: float) -> int:
        """Return the whole amount of a number that ``shown`` gave."""
        return round(shown * NANOSECONDS_PER_MS) if self is Resource.LATENCY else int(shown)

    @property
    def unit(self) -> str:
        """What stands behind a number of it."""
        return {Resource.ACTIVATION_MEMORY: " bytes", Resource.LATENCY: " ms"}.get(self, "")


COUNTED_ALWAYS = (Resource.MACS, Resource.PARAMS)
"""What every run counts, with or without a budget."""


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


def parse_latency_budget(value: object) -> Budget:
    """Read a share (``0.5``, ``"50%"``) or a time (``"0.8ms"``, ``"750us"``; numbers over 1 are milliseconds).

    Raises:
        ValueError: The text is no such number, or the share is outside (0, 1].
    """
    if isinstance(value, Budget):
        return value
    match = None if isinstance(value, bool) else _LATENCY.match(str(value))
    number, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if unit == "%":
        number, unit = number / 100, "share"
    elif unit == "":
        unit = "share" if number <= 1 else "ms"
    nanoseconds = number * {"share": 0, "ms": NANOSECONDS_PER_MS, "us": 1000}[unit]
    if unit == "share" and 0 < number <= 1:
        return Budget(share=number)
    if math.isfinite(nanoseconds) and nanoseconds >= 1:
        return Budget(amount=round(nanoseconds))
    raise ValueError(
        f"a latency budget must be a share in (0, 1] such as 0.5 or a time such as 0.8ms, but got {value!r}"
    )
