"""What all settings are made of: the frozen base, bounded numbers, budgets, and problems said in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from pruning_core.budgets import NANOSECONDS_PER_MS, Budget, parse_budget, parse_latency_budget

UnitInterval = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Precision = Literal["auto", "float32", "bfloat16"]


def _budget_to_plain(budget: Budget) -> float | int:
    return budget.share if budget.share is not None else int(budget.amount or 0)


BudgetField = Annotated[
    Budget, BeforeValidator(parse_budget), PlainSerializer(_budget_to_plain, return_type=float | int)
]


def _latency_to_plain(budget: Budget) -> float | str:
    if budget.share is not None:
        return budget.share
    milliseconds = (budget.amount or 0) / NANOSECONDS_PER_MS
    return milliseconds if milliseconds > 1 else f"{milliseconds}ms"  # up to 1 a number is a share


LatencyBudgetField = Annotated[
    Budget, BeforeValidator(parse_latency_budget), PlainSerializer(_latency_to_plain, return_type=float | str)
]


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, use_enum_values=False
    )


def describe_problem(model: type[BaseModel], error: ValidationError) -> str:
    """Say the first problem of a validation in one line: dotted key, what came, what is allowed."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    dotted = ".".join(location) or "settings"
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(_fields_at(model, location[:-1])))
        return f"unknown key '{dotted}'. Known keys there: {known}."
    message = first["msg"].removeprefix("Value error, ")
    came = first.get("input")
    shown = "" if isinstance(came, (Mapping, BaseModel)) else f", but got {came!r}"
    return f"'{dotted}': {message[:1].lower() + message[1:]}{'' if 'but got' in message else shown}"


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)
