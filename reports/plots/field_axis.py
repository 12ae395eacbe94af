"""Values of a varied field as positions along an axis: numbers as they are or by their logarithm, choices in a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.plots.theme import thin_out
from reports.records import Scalar

__all__ = ["FieldAxis", "field_axis"]

_LOG_RATIO = 50  # positive values that span more than this are drawn on a logarithmic axis
_FEW_CHOICES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldAxis:
    """A position for each trial, and ticks with their texts (empty: chosen by the plot)."""

    name: str
    positions: tuple[float, ...]
    ticks: tuple[float, ...] = ()
    tick_texts: tuple[str, ...] = ()
    tick_format: str = "~g"
    is_choice: bool = False


def field_axis(name: str, values: Sequence[Scalar]) -> FieldAxis:
    """Place the values of a field; anything but more than four different numbers is a choice."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values) or len(set(numbers)) <= 4:
        return _choice_axis(name, values)
    if min(numbers) > 0 and max(numbers) / min(numbers) > _LOG_RATIO:
        decades = range(math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers))) + 1)
        return FieldAxis(
            name=name,
            positions=tuple(math.log10(number) for number in numbers),
            ticks=tuple(float(decade) for decade in decades),
            tick_texts=tuple(f"{10.0**decade:g}" for decade in decades),
        )
    return FieldAxis(name=name, positions=tuple(float(number) for number in numbers))


def _choice_axis(name: str, values: Sequence[Scalar]) -> FieldAxis:
    choices = sorted(set(values), key=lambda value: (isinstance(value, str), value is None, value or 0))
    place = {choice: float(index) for index, choice in enumerate(choices)}
    labelled = thin_out(choices, _FEW_CHOICES)
    return FieldAxis(
        name=name,
        positions=tuple(place[value] for value in values),
        ticks=tuple(place[choice] for choice in labelled),
        tick_texts=tuple("not set" if choice is None else str(choice) for choice in labelled),
        is_choice=True,
    )
