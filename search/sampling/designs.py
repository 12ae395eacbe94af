"""Configurations that are worth trying before any sampler has learned something: designs, by name.

References:
    [Ganjdanesh2022] A. Ganjdanesh, S. Gao, H. Huang. Interpretations Steered Network Pruning via Amortized Inferred
        Saliency Maps. ECCV 2022.
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks Under
        Multiple Constraints. IJCV 2024.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TypeAlias

from search.sampling.budget_axes import budget_axes
from spaces import SearchSpace, Value
from spaces.distributions import holds

__all__ = ["DESIGNS", "PUBLISHED", "Design", "designed_points"]

Design: TypeAlias = Callable[[SearchSpace], list[dict[str, Value]]]
"""Returns partial configurations of a space; what they leave out is drawn."""

PUBLISHED: Mapping[str, Value] = {
    "method": "interpretation_steered",
    "saliency.num_basis": 1,
    "gates.source": "hypernetwork",
    "gates.network_weights": "frozen",
    "gates.noise": "gumbel",
    "gates.budget_term": "one_sided",
    "gates.budget_widths": "sampled",
    "gates.distance": "raw",
    "gates.learning_rate": 1e-3,
    "loss_weights.task": 1.0,
    "loss_weights.steering": 10.0,
    "loss_weights.budget": 1.0,
    "fine_tuning.learning_rate": 0.1,
    "fine_tuning.weight_decay": 1e-4,
    "fine_tuning.distillation.weight": 0.0,
}
"""What [Ganjdanesh2022] used on CIFAR-10, of the fields that a search may vary; the steering weight is our reading."""

TASK_INSPIRED: Mapping[str, Value] = {
    "method": "task_inspired",
    "importance.task_relevance": "cka",
    "importance.flow": "leverage",
    "importance.task_weight": 0.5,
    "importance.greedy": True,
    "importance.allocation": "task_loss",
}
"""What the abstract of [Guo2024] says, in our formulas: relevance times flow; the loss of the task divides budgets."""

_TASK_INSPIRED_ALONE = tuple(
    f"importance.{name}" for name in ("task_relevance", "flow", "task_weight", "greedy")
)
"""Fields that no other method has: they may vary only where it is the method, or one of those to choose from."""

_BASELINE: Mapping[str, Value] = {"method": "l1", "importance.allocation": "uniform"}
_MAX_CORNERS = 8


def _published(space: SearchSpace) -> list[dict[str, Value]]:
    """Return the settings of both papers, as far as their methods may be chosen."""
    return [*_one_point(space, PUBLISHED), *filter(_is_task_inspired, _one_point(space, TASK_INSPIRED))]


def _is_task_inspired(point: Mapping[str, Value]) -> bool:
    return point.get("method") == "task_inspired" or any(name in point for name in _TASK_INSPIRED_ALONE)


def _baseline(space: SearchSpace) -> list[dict[str, Value]]:
    """Return the smallest L1 norms of every layer alike: what anything else must beat."""
    if "method" not in space.distributions:
        return []
    point = _one_point(space, _BASELINE)
    return [one for one in point if one.get("method") == _BASELINE["method"]]


def _corners(space: SearchSpace) -> list[dict[str, Value]]:
    """Return the ends of the budgets' ranges, all at their lowest first."""
    axes = budget_axes(space)
    places = itertools.islice(itertools.product((0.0, 1.0), repeat=len(axes)), _MAX_CORNERS)
    points: list[dict[str, Value]] = []
    for row in places:
        points.append({axis.name: axis.value(place) for axis, place in zip(axes, row, strict=True)})
    return [point for point in points if point]


DESIGNS: dict[str, Design] = {"published": _published, "baseline": _baseline, "corners": _corners}
"""``published``: the papers' settings; ``baseline``: L1 norms, every layer alike; ``corners``: ends of the budgets."""


def designed_points(space: SearchSpace, name: str) -> list[dict[str, Value]]:
    """Return the points of a design.

    Raises:
        ValueError: The search varies nothing that the design has a value for.
    """
    points = DESIGNS[name](space)
    if not points:
        raise ValueError(
            f"'designs': {name} must have values for fields that vary, but has none for "
            f"{', '.join(space.distributions)}"
        )
    return points


def _one_point(space: SearchSpace, settings: Mapping[str, Value]) -> list[dict[str, Value]]:
    """Return the settings that a space holds, those aside that do not exist with the others."""
    held = {
        name: settings[name]
        for name, distribution in space.distributions.items()
        if name in settings and holds(distribution, settings[name])
    }
    point = space.existing(held)
    return [point] if point else []
