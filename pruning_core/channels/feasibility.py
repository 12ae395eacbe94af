"""Budgets as whole numbers, and whether any allowed network meets them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pruning_core.budgets import Resource
from pruning_core.channels.cost_counter import Cost
from pruning_core.channels.cost_model import CostModel
from pruning_core.channels.rounding import allowed_widths
from pruning_core.config import BudgetsConfig, ChannelsConfig
from pruning_core.errors import InfeasibleBudgetsError


def budget_limits(budgets: BudgetsConfig, dense: Cost) -> dict[Resource, int]:
    """Return the largest amount allowed of each resource that has a budget."""
    return {resource: budget.limit(dense[resource]) for resource, budget in budgets.items()}


def within_limits(cost: Cost, limits: Mapping[Resource, int]) -> bool:
    """Tell whether a network exceeds no budget."""
    return all(cost[resource] <= limit for resource, limit in limits.items())


def minimum_cost(model: CostModel, channels: ChannelsConfig) -> Cost:
    """Return the cost of the narrowest allowed network: costs grow with every width, so none is cheaper."""
    return model.exact([allowed_widths(size, channels)[0] for size in model.sizes])


def reachable_floors(
    model: CostModel,
    limits: Mapping[Resource, int],
    channels: ChannelsConfig,
    floors: Mapping[str, int],
) -> dict[str, int]:
    """Return floors of single groups that leave all limits within reach: a floor is a wish, a budget is not.

    Floors are taken in the order given; one that would break a limit is left out.
    """
    held: dict[str, int] = {}
    for group, floor in floors.items():
        wished = {**held, group: floor}
        widths = [
            allowed_widths(size, channels, wished.get(name, 1))[0]
            for name, size in zip(model.names, model.sizes, strict=True)
        ]
        if within_limits(model.exact(widths), limits):
            held = wished
    return held


def check_feasible(model: CostModel, limits: Mapping[Resource, int], channels: ChannelsConfig) -> None:
    """Refuse budgets that no allowed network meets.

    Raises:
        InfeasibleBudgetsError: Names each budget that is too low, the amount that is reachable, and what to do.
    """
    minimum = minimum_cost(model, channels)
    problems = [
        f"budgets.{resource} is {_text(resource, limit)} ({limit / model.dense[resource]:.4f} of the dense network), "
        f"but the narrowest network keeps {_text(resource, minimum[resource])} "
        f"({_share_up(minimum[resource], model.dense[resource]):.4f})"
        for resource, limit in limits.items()
        if minimum[resource] > limit
    ]
    if problems:
        raise InfeasibleBudgetsError(f"{'; '.join(problems)}; {_advice(channels)}")


def _text(resource: Resource, amount: int) -> str:
    return f"{resource.shown(amount)}{resource.unit}"


def _share_up(amount: int, dense: int) -> float:
    """Round a share up to four digits, so that the share shown is one that can be reached."""
    return math.ceil(amount / dense * 10_000) / 10_000


def _advice(channels: ChannelsConfig) -> str:
    steps = ["raise it"]
    if channels.round_to != 1:
        steps.append(f"lower channels.round_to (now {channels.round_to})")
    if channels.min_channels > 1:
        steps.append(f"lower channels.min_channels (now {channels.min_channels})")
    if channels.scope != "all":
        steps.append("set channels.scope to all")
    return " or ".join([", ".join(steps[:-1]), steps[-1]] if len(steps) > 1 else steps)
