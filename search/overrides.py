"""Settings changed on the command line: ``run.seed=3``, ``search.budgets.macs={low: 0.3, high: 0.6}``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pruning_core.errors import InvalidSettingsError
from pruning_core.yaml_text import parse_value
from spaces import Range, field_names

__all__ = ["CHANGEABLE", "apply_overrides", "find_changes", "value_text"]

_REMOVABLE = ("search", "objectives", "constraints")
"""Sections that people fill with keys of their choice; null takes a key away there."""

CHANGEABLE = ("limits", "resources")
"""Sections that may change while a study goes on: how much runs, and with what, but not what a trial is."""


def apply_overrides(plain: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings with overrides applied in order; values are read as YAML.

    Raises:
        InvalidSettingsError: An override is not ``key=value``, its value is no YAML, or it goes below a plain value.
    """
    changed = copy.deepcopy(dict(plain))
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise InvalidSettingsError(
                f"command line: an override must look like run.seed=3, but got {override!r}"
            )
        _set(changed, key, parse_value(text, source=f"command line: {override!r}"))
    return changed


def find_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, by dotted key, as they were and are; None for what is missing."""
    changes: dict[str, tuple[Any, Any]] = {}
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes |= {f"{key}.{inner}": change for inner, change in find_changes(old, new).items()}
        elif old != new:
            changes[key] = (old, new)
    return changes


def value_text(value: object) -> str:
    """Write a setting as one would type it."""
    return "null" if value is None else str(value)


def _set(plain: dict[str, Any], key: str, value: object) -> None:
    *sections, last = _path(key)
    inner = plain
    for depth, section in enumerate(sections):
        if inner.get(section) is None:
            inner[section] = {}
        inner = inner[section]
        if not isinstance(inner, dict):
            above = ".".join(sections[: depth + 1])
            raise InvalidSettingsError(
                f"command line: '{key}' cannot be set, because '{above}' is {inner!r}, not a section"
            )
    if value is None and sections and sections[0] in _REMOVABLE and len(sections) == 1:
        inner.pop(last, None)
    else:
        inner[last] = value


def _path(key: str) -> list[str]:
    """Split a key at its dots, but keep the dotted names of fields below ``search`` whole."""
    section, _, name = key.partition(".")
    if section != "search" or not name:
        return key.split(".")
    field, _, part = name.rpartition(".")
    if part in Range.model_fields and field in field_names():
        return [section, field, part]
    return [section, name]
