"""Turn scores and wished widths into a selection that meets every budget and leaves no room for another step.

Shape suffixes used in this file:
    G  channel groups
    C  channels of one group
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.channels.cost_model import CostModel
from pruning_core.channels.feasibility import check_feasible, within_limits
from pruning_core.channels.resource_costs import Counts
from pruning_core.channels.rounding import allowed_widths, nearest_allowed_width
from pruning_core.channels.structures import ChannelGraph, ChannelSelection, check_group_names
from pruning_core.config import ChannelsConfig
from pruning_core.errors import InvalidSettingsError

Values = npt.NDArray[np.float64]

_FREE = 1e-15  # share of a limit: what costs nothing (a map that is never at the peak) is taken first


def project(
    model: CostModel,
    graph: ChannelGraph,
    scores: Mapping[str, Tensor],
    widths: Mapping[str, int],
    limits: Mapping[Resource, int],
    channels: ChannelsConfig,
    floors: Mapping[str, int] | None = None,
) -> ChannelSelection:
    """Choose the channels that stay; the same inputs always give the same selection.

    Widths are rounded to the nearest allowed ones. While a budget is exceeded, the rounding step goes that loses
    the least score per relieved cost; then the steps come that gain the most score per cost, until none fits.
    Costs are shares of their limits. In a group the highest scores stay; ties go to the lower index.

    Args:
        model: Cost of the network for any widths.
        graph: The groups of the cost model.
        scores: Per group one number per channel; higher stays.
        widths: Per group the wished number of kept channels.
        limits: Largest allowed amount per resource.
        channels: Rounding, and a floor for all groups.
        floors: Groups that keep at least so many channels; they leave the limits within reach
            (``reachable_floors``).

    Returns:
        A selection within every limit; no single further rounding step of any group would still be.

    Raises:
        InfeasibleBudgetsError: Not even the narrowest network fits.
        InvalidSettingsError: A group is missing or unknown, or its scores are not one finite number per channel.
    """
    assert model.names == tuple(group.name for group in graph.groups), "model and graph are of one network"
    assert limits, "a projection needs at least one budget"
    check_group_names(widths, model.names, "the wished widths")
    orders = _rank_channels(graph, scores)
    check_feasible(model, limits, channels)
    ladder = _Ladder(model, channels, floors or {}, [widths[name] for name in model.names])
    totals = [_running_total(scores[name], order) for name, order in zip(model.names, orders, strict=True)]
    _trim(ladder, totals, limits)
    _top_up(ladder, totals, limits)
    _assert_tight(ladder, limits)
    return ChannelSelection(
        kept={
            name: tuple(sorted(order[:width]))
            for name, order, width in zip(model.names, orders, ladder.widths_G.tolist(), strict=True)
        }
    )


class _Ladder:
    """The current widths, each on a rung of its group's allowed widths, and what a step would cost."""

    def __init__(
        self, model: CostModel, channels: ChannelsConfig, floors: Mapping[str, int], wished: Sequence[int]
    ) -> None:
        self.model = model
        self.rungs = [
            allowed_widths(size, channels, floors.get(name, 1))
            for name, size in zip(model.names, model.sizes, strict=True)
        ]
        self.rung_G = np.array(
            [
                rungs.index(nearest_allowed_width(rungs, width))
                for rungs, width in zip(self.rungs, wished, strict=True)
            ],
            dtype=np.int64,
        )
        self.top_G = np.array([len(rungs) - 1 for rungs in self.rungs], dtype=np.int64)
        self.widths_G = np.array(
            [rungs[rung] for rungs, rung in zip(self.rungs, self.rung_G, strict=True)], dtype=np.int64
        )

    def cost(self, resource: Resource) -> int:
        """Return the cost at the current widths."""
        return self.model.resources[resource].exact(self.widths_G)

    def neighbours(self, direction: int) -> Counts:
        """Return each group's width one rung up (1) or down (-1); its own where there is no such rung."""
        rung_G = np.clip(self.rung_G + direction, 0, self.top_G)
        return np.array([rungs[rung] for rungs, rung in zip(self.rungs, rung_G, strict=True)], dtype=np.int64)

    def cost_changes(self, resource: Resource, target_G: Counts) -> Counts:
        """Return by how much the cost changes if one group alone goes to its target width."""
        return self.model.resources[resource].changes(self.widths_G, target_G)

    def relief(self, resource: Resource, target_G: Counts, limit: int) -> Counts:
        """Return how much nearer to its limit a cost above it comes if one group alone goes to its target width."""
        return self.model.resources[resource].relief(self.widths_G, target_G, limit)

    def step(self, group: int, direction: int) -> None:
        """Move one group by one rung."""
        self.rung_G[group] += direction
        self.widths_G[group] = self.rungs[group][self.rung_G[group]]


def _trim(ladder: _Ladder, totals: Sequence[Values], limits: Mapping[Resource, int]) -> None:
    while violated := [resource for resource, limit in limits.items() if ladder.cost(resource) > limit]:
        target_G = ladder.neighbours(-1)
        relief_G = np.zeros(len(totals))
        for resource in violated:
            relief_G += ladder.relief(resource, target_G, limits[resource]) / limits[resource]
        lost_G = -_score_changes(ladder, totals, target_G)
        can_help_G = relief_G > 0
        if (
            not can_help_G.any()
        ):  # measured latencies have plateaus: no single step is faster, several together are
            can_help_G, relief_G = target_G < ladder.widths_G, np.ones(len(totals))
        assert can_help_G.any(), "feasible budgets leave a step down until they are met"
        price_G = np.full(len(totals), np.inf)
        np.divide(lost_G, relief_G, out=price_G, where=can_help_G)
        ladder.step(int(price_G.argmin()), -1)


def _top_up(ladder: _Ladder, totals: Sequence[Values], limits: Mapping[Resource, int]) -> None:
    while True:
        target_G = ladder.neighbours(1)
        fits_G = target_G > ladder.widths_G
        cost_G = np.zeros(len(totals))
        for resource, limit in limits.items():
            changes_G = ladder.cost_changes(resource, target_G)
            fits_G &= changes_G <= limit - ladder.cost(resource)
            cost_G += changes_G / limit
        if not fits_G.any():
            return
        gain_G = _score_changes(ladder, totals, target_G)
        worth_G = np.full(len(totals), -np.inf)
        np.divide(gain_G, np.maximum(cost_G, _FREE), out=worth_G, where=fits_G)
        ladder.step(int(worth_G.argmax()), 1)


def _score_changes(ladder: _Ladder, totals: Sequence[Values], target_G: Counts) -> Values:
    return np.array(
        [total[new] - total[old] for total, old, new in zip(totals, ladder.widths_G, target_G, strict=True)]
    )


def _assert_tight(ladder: _Ladder, limits: Mapping[Resource, int]) -> None:
    """Check the promise without the changes that led here."""
    widths = ladder.widths_G.tolist()
    assert within_limits(ladder.model.exact(widths), limits), "a selection never exceeds a budget"
    for group, wider in enumerate(ladder.neighbours(1).tolist()):
        if wider > widths[group]:
            cost = ladder.model.exact([*widths[:group], wider, *widths[group + 1 :]])
            assert not within_limits(cost, limits), "a selection leaves no room for another step"


def _rank_channels(graph: ChannelGraph, scores: Mapping[str, Tensor]) -> list[list[int]]:
    """Return each group's channels from the highest score to the lowest; equal scores in their own order."""
    check_group_names(scores, [group.name for group in graph.groups], "the scores")
    orders = []
    for group in graph.groups:
        scores_C = scores[group.name]
        if scores_C.shape != (group.num_channels,) or not torch.isfinite(scores_C).all():
            raise InvalidSettingsError(
                f"group {group.name!r} needs one finite score for each of its {group.num_channels} channels, but got "
                f"shape {tuple(scores_C.shape)} with {int((~torch.isfinite(scores_C)).sum())} infinite or NaN"
            )
        orders.append(torch.argsort(scores_C.detach().cpu().double(), descending=True, stable=True).tolist())
    return orders


def _running_total(scores_C: Tensor, order: Sequence[int]) -> Values:
    """Return the summed score of the best k channels, for k = 0, 1, ..."""
    ranked = scores_C.detach().cpu().double().numpy()[np.array(order, dtype=np.int64)]
    return np.concatenate([np.zeros(1), np.cumsum(ranked)])
