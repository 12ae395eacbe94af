"""What a sampler may know of a search besides its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.objectives import Direction
from spaces import SearchSpace

__all__ = ["SearchTask"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchTask:
    """``space``: what varies. ``objectives``: in the order of a trial's values. ``num_trials``: that shall train."""

    space: SearchSpace
    objectives: Mapping[str, Direction]
    num_trials: int
