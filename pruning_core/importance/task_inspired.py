"""Task-inspired importance: task relevance times information flow, chosen greedily; the stem as a diverse set.

    score = (t / sum t)^w * (phi / sum phi)^(1 - w)

with t the task relevance of what the consumers read, phi the flow into the consumers (square root of an energy), w the
task weight. Task-inspired criterion, after Guo et al. 2024; formulas ours. Neither factor is used alone: task relevance
alone ranks filters no better than chance.

References:
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks
        Under Multiple Constraints. IJCV 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from pruning_core.config import ImportanceConfig
from pruning_core.importance.elimination import eliminate, product_score, rank_consistent_scores
from pruning_core.importance.flow_edges import FlowEdges, strongest_edges
from pruning_core.importance.flows import FLOWS, RemainingFlow
from pruning_core.importance.measurements import Measurements, measure
from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.rating import Rating, RatingImportance
from pruning_core.importance.read_points import NetworkReads, find_read_points
from pruning_core.importance.stem_choice import information_floor, stem_kernel, stem_scores


class TaskInspiredImportance:
    """Task relevance x information flow, after Guo et al. 2024; formulas ours.

    A channel removed later by greedy elimination has a higher score. The group of the first convolution, if nothing
    else produces its channels, is ordered by maximum volume instead, and has a floor. ``settings.greedy`` off: the
    product before any removal.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Score every group from one pass over the calibration images."""
        return dict(self.rate(context).scores)

    def rate(self, context: ImportanceContext) -> Rating:
        """Score every group; also its channels' class profiles and edges, and how narrow the stem may get."""
        reads = find_read_points(context)
        return rate_measured(context, reads, measure(context, reads))


def rate_measured(context: ImportanceContext, reads: NetworkReads, measured: Measurements) -> Rating:
    """Work the rating out from what was measured, on all calibration images, by whichever processes."""
    settings = context.settings
    scores: dict[str, Tensor] = {}
    floors: dict[str, int] = {}
    edges: dict[str, FlowEdges] = {}
    for group in context.graph.groups:
        points = reads.of_group(group.name)
        relevance_C = measured.relevance(points)
        consumers = measured.consumers(context.network, points)
        edges[group.name] = strongest_edges([point.layer for point in points], consumers)
        if group.name == measured.stem:
            kernel_CC = stem_kernel(measured.stem_responses(), relevance_C)
            floors[group.name] = information_floor(kernel_CC, settings.stem_residual)
            scores[group.name] = stem_scores(kernel_CC, floors[group.name])
        else:
            flow = FLOWS[settings.flow](measured.consumers(context.network, points))
            scores[group.name] = _flow_scores(flow, relevance_C, settings)
    return Rating(scores=scores, floors=floors, profiles=measured.profiles(), edges=edges)


def _flow_scores(flow: RemainingFlow, relevance_C: Tensor, settings: ImportanceConfig) -> Tensor:
    if settings.greedy:
        return rank_consistent_scores(eliminate(flow, relevance_C, settings.task_weight))
    return product_score(relevance_C, flow.energies(), settings.task_weight)


if TYPE_CHECKING:
    _score: FilterImportance = TaskInspiredImportance()
    _rate: RatingImportance = TaskInspiredImportance()
