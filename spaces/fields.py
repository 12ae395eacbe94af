"""The dotted names of one run's settings, and a run with some of them replaced.

A dotted name is the path to a leaf of ``PruningConfig``: ``saliency.num_basis``, ``budgets.macs``, ``seed``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from pruning_core.config import PruningConfig, load_config

__all__ = ["Value", "field_names", "nearest_names", "plain_value", "to_plain", "vary"]

Value: TypeAlias = str | int | float | bool | None
"""What a field that varies may be set to: one value, as YAML and Optuna store it."""


def field_names() -> tuple[str, ...]:
    """Return the dotted name of every leaf of ``PruningConfig``, in the order of the settings."""
    return tuple(_leaves(PruningConfig, ""))


def nearest_names(name: str, known: tuple[str, ...], *, count: int = 3) -> list[str]:
    """Return up to ``count`` of the known names that ``name`` was most likely meant to be, best first.

    Names that end alike (``num_basis`` for ``saliency.num_basis``) come before names that are spelt alike.
    """
    last = name.rsplit(".", 1)[-1]
    endings = [full for full in known if full.rsplit(".", 1)[-1] == last]
    spelt = difflib.get_close_matches(name, known, n=count, cutoff=0.5)
    return list(dict.fromkeys([*endings, *spelt]))[:count]


def vary(run: PruningConfig, values: Mapping[str, object]) -> PruningConfig:
    """Return ``run`` with the fields at the dotted names set to ``values``.

    A budget that ``run`` has by default only gives way as soon as any budget varies: who searches over
    ``budgets.params`` has not asked for the default limit on MACs.

    Raises:
        InvalidSettingsError: A name is unknown, a value is not allowed, or values do not fit together.
    """
    plain = to_plain(run)
    if "budgets" not in run.model_fields_set and any(name.startswith("budgets.") for name in values):
        plain["budgets"] = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        inner = plain
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[leaf] = value
    return load_config(plain)


def to_plain(run: PruningConfig) -> dict[str, Any]:
    """Return all settings of a run as nested plain values, the ones left at their defaults included."""
    return run.model_dump(mode="json")


def plain_value(run: PruningConfig, name: str) -> object:
    """Return the value at a dotted name as plain data: a share or amount for a budget, text for a choice."""
    value: Any = to_plain(run)
    for part in name.split("."):
        value = value[part]
    return value


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
