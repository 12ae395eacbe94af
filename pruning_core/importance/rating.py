"""What an importance found out about every channel, scores and more, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from pruning_core.importance.class_coverage import ClassProfile
from pruning_core.importance.flow_edges import FlowEdges
from pruning_core.importance.protocols import FilterImportance, ImportanceContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """``scores``: as ``FilterImportance.score`` returns them. ``floors``: groups that should keep at least so many
    channels where the budgets allow it. ``profiles``: which classes each channel answers to; ``edges``: which outputs
    of the next layers it feeds most; both empty if not measured.
    """

    scores: Mapping[str, Tensor]
    floors: Mapping[str, int] = field(default_factory=dict)
    profiles: Mapping[str, ClassProfile] = field(default_factory=dict)
    edges: Mapping[str, FlowEdges] = field(default_factory=dict)


@runtime_checkable
class RatingImportance(Protocol):
    """An importance that learns more than scores from its pass over the images."""

    def rate(self, context: ImportanceContext) -> Rating:
        """Return the scores and everything else."""


def rate_channels(importance: FilterImportance, context: ImportanceContext) -> Rating:
    """Return all that an importance can tell; scores alone for most."""
    if isinstance(importance, RatingImportance):
        return importance.rate(context)
    return Rating(scores=importance.score(context))
