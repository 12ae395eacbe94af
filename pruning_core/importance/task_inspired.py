"""Task-inspired importance: task relevance times information flow, chosen greedily; the stem as a diverse set.

    score = (t / sum t)^w * (phi / sum phi)^(1 - w)

with t the class correlation of what the consumers read, phi the square root of the leverage in the consumers, w the
task weight. Task-inspired criterion, after Guo et al. 2024; formulas ours. Neither factor is used alone: task
relevance alone ranks filters no better than chance.

References:
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks
        Under Multiple Constraints. IJCV 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from pruning_core.channels.structures import ChannelGraph, Role
from pruning_core.config import ImportanceConfig
from pruning_core.importance.class_correlation import (
    ClassCorrelationObserver,
    average_normalised,
    class_targets,
)
from pruning_core.importance.elimination import eliminate, product_score, rank_consistent_scores
from pruning_core.importance.information_flow import contribution_gram, join_consumers, leverage
from pruning_core.importance.patches import PatchSampler, Window, flow_layer, fold_scale, patch_weights
from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.read_points import (
    NetworkReads,
    ReadObserver,
    ReadPoint,
    calibration_images,
    find_read_points,
    stream_reads,
)
from pruning_core.importance.stem_choice import stem_kernel, stem_scores


class TaskInspiredImportance:
    """Class correlation x leverage, after Guo et al. 2024; formulas ours.

    A channel removed later by greedy elimination has a higher score. The group of the first convolution, if nothing
    else produces its channels, is ordered by maximum volume instead. ``settings.greedy`` off: the product before any
    removal.
    """

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Score every group from one pass over the calibration images."""
        reads = find_read_points(context)
        measured = _measure(context, reads)
        scores: dict[str, Tensor] = {}
        for group in context.graph.groups:
            points = reads.of_group(group.name)
            relevance_C = measured.relevance(points)
            if group.name == measured.stem and measured.stem_pixels is not None:
                scores[group.name] = stem_scores(_stem_kernel(measured.stem_pixels, relevance_C))
                continue
            gram_CC = join_consumers([_gram(context, measured, point) for point in points])
            scores[group.name] = _flow_scores(gram_CC, relevance_C, context.settings)
        return scores


def _flow_scores(gram_CC: Tensor, relevance_C: Tensor, settings: ImportanceConfig) -> Tensor:
    if settings.greedy:
        return rank_consistent_scores(eliminate(gram_CC, relevance_C, settings.task_weight))
    return product_score(relevance_C, leverage(gram_CC), settings.task_weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measured:
    """What the calibration pass left behind: correlations by (group, tensor read), patches by (group, layer), and
    the pixels of the stem's group.
    """

    correlations: dict[tuple[str, int], ClassCorrelationObserver]
    samplers: dict[tuple[str, str], PatchSampler]
    stem: str | None
    stem_pixels: PatchSampler | None

    def relevance(self, points: tuple[ReadPoint, ...]) -> Tensor:
        """Return the task relevance of a group; consumers that read the same tensor count once."""
        sources = sorted({(point.group, point.source) for point in points})
        return average_normalised([self.correlations[source].relevance() for source in sources])


def _measure(context: ImportanceContext, reads: NetworkReads) -> _Measured:
    images = calibration_images(context)
    targets_KD = class_targets(images.labels_N, context.data.num_classes, seed=context.seed)
    correlations: dict[tuple[str, int], ClassCorrelationObserver] = {}
    samplers: dict[tuple[str, str], PatchSampler] = {}
    observers: dict[str, list[ReadObserver]] = {}
    for index, point in enumerate(reads.points):
        window = Window.of_layer(flow_layer(context.network, point))
        sampler = _sampler(context, window, point.positions_CS, len(images), context.seed + index)
        samplers[point.group, point.layer] = sampler
        observers.setdefault(point.layer, []).append(sampler)
        if (point.group, point.source) not in correlations:
            correlation = ClassCorrelationObserver(point.positions_CS, targets_KD, context.settings.grid_size)
            correlations[point.group, point.source] = correlation
            observers[point.layer].append(correlation)
    stem = _find_stem(context.graph, reads.first_layer)
    pixels: PatchSampler | None = None
    if stem is not None:
        point = reads.of_group(stem)[0]
        pixels = _sampler(context, Window(), point.positions_CS, len(images), context.seed)
        observers[point.layer].append(pixels)
    stream_reads(context, observers)
    return _Measured(correlations=correlations, samplers=samplers, stem=stem, stem_pixels=pixels)


def _sampler(
    context: ImportanceContext, window: Window, positions_CS: Tensor, num_images: int, seed: int
) -> PatchSampler:
    return PatchSampler(
        window,
        positions_CS,
        num_positions=context.settings.num_positions,
        num_images=num_images,
        seed=seed,
    )


def _gram(context: ImportanceContext, measured: _Measured, point: ReadPoint) -> Tensor:
    layer = flow_layer(context.network, point)
    norm = context.network.get_submodule(point.norm) if point.norm is not None else None
    weight_DCO = fold_scale(patch_weights(layer, point.positions_CS), norm)
    return contribution_gram(measured.samplers[point.group, point.layer].patches(), weight_DCO)


def _stem_kernel(pixels: PatchSampler, relevance_C: Tensor) -> Tensor:
    return stem_kernel(pixels.patches().transpose(1, 2).flatten(0, 1), relevance_C)


def _find_stem(graph: ChannelGraph, first_layer: str) -> str | None:
    """Return the group that the first convolution alone produces, if it is prunable."""
    for group in graph.groups:
        if [use.layer for use in group.uses if use.role is Role.PRODUCES] == [first_layer]:
            return group.name
    return None


if TYPE_CHECKING:
    _: FilterImportance = TaskInspiredImportance()
