"""What all trials of a study had in common, and what varied between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from reports.records import Scalar, TrialRecord

__all__ = ["SettingsSection", "VariedField", "common_settings", "flatten", "varied_fields"]

_MISSING = object()
_MOST_CHOICES = 8
_MOST_FRACTIONS = 4  # of which a list is easier to read than their range


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsSection:
    """Fields of one section of the configuration, by their names within it, with their values as text."""

    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VariedField:
    """A field that the search chose, and the values it took in words."""

    name: str
    values: str


def flatten(config: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Yield every field of a nested configuration by its dotted name."""
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def common_settings(records: Sequence[TrialRecord]) -> tuple[SettingsSection, ...]:
    """Return the fields that have the same value in every trial, by section; single fields come first."""
    if not records:
        return ()
    common: Mapping[str, JsonValue] = records[0].config
    for record in records[1:]:
        common = _shared_part(common, record.config)
    sections: dict[str, list[tuple[str, str]]] = {"": []}
    for name, value in flatten(common):
        section, _, field = name.partition(".") if "." in name else ("", "", name)
        sections.setdefault(section, []).append((field, _as_text(value)))
    return tuple(
        SettingsSection(name=name, fields=tuple(fields)) for name, fields in sections.items() if fields
    )


def _shared_part(ours: Mapping[str, JsonValue], theirs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what two nested configurations have in common; sections that are alike are compared as a whole."""
    shared: dict[str, JsonValue] = {}
    for name, value in ours.items():
        other = theirs.get(name, _MISSING)
        if other == value:
            shared[name] = value
        elif isinstance(value, dict) and isinstance(other, dict) and (inner := _shared_part(value, other)):
            shared[name] = inner
    return shared


def varied_fields(records: Sequence[TrialRecord]) -> tuple[VariedField, ...]:
    """Return what the search varied: the range of many numbers, the list of few values."""
    names = dict.fromkeys(name for record in records for name in record.varied)
    return tuple(
        VariedField(
            name=name, values=_describe([record.varied[name] for record in records if name in record.varied])
        )
        for name in names
    )


def _describe(values: Sequence[Scalar]) -> str:
    different = set(values)
    numbers = [
        value for value in different if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    most = _MOST_CHOICES if all(isinstance(number, int) for number in numbers) else _MOST_FRACTIONS
    if len(numbers) == len(different) > most:
        return f"{min(numbers):.4g} to {max(numbers):.4g}, {len(numbers):,} values"
    choices = sorted(different, key=lambda value: (isinstance(value, str), value is None, value or 0))
    shown = ", ".join(_as_text(choice) for choice in choices[:_MOST_CHOICES])
    left_out = len(choices) - _MOST_CHOICES
    return shown + (f" and {left_out} more" if left_out > 0 else "")


def _as_text(value: JsonValue) -> str:
    if value is None:
        return "not set"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
