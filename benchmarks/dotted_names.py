"""Settings by their dotted names, as rows of benchmarks change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["nested"]


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{"a.b": 1}`` into ``{"a": {"b": 1}}``."""
    values: dict[str, Any] = {}
    for name, value in dotted.items():
        *path, last = name.split(".")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return values
