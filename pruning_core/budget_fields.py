"""How budgets stand in settings: read from what people write, written as plain values that read back the same."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from pruning_core.budgets import NANOSECONDS_PER_MS, Budget, parse_budget, parse_latency_budget

__all__ = ["BudgetField", "LatencyBudgetField"]


def _to_plain(budget: Budget) -> float | int:
    return budget.share if budget.share is not None else int(budget.amount or 0)


def _latency_to_plain(budget: Budget) -> float | str:
    if budget.share is not None:
        return budget.share
    milliseconds = (budget.amount or 0) / NANOSECONDS_PER_MS
    return milliseconds if milliseconds > 1 else f"{milliseconds}ms"  # up to 1 a number is a share


BudgetField = Annotated[
    Budget, BeforeValidator(parse_budget), PlainSerializer(_to_plain, return_type=float | int)
]
LatencyBudgetField = Annotated[
    Budget, BeforeValidator(parse_latency_budget), PlainSerializer(_latency_to_plain, return_type=float | str)
]
