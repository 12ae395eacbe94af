"""The pass over the calibration images that task-inspired importance is worked out from; gradients take a second one.

Everything gathered can be merged: several processes may each look at a part of the images. What is held until the end
are sums, and the sampled patches of every consumer.

Shape suffixes used in this file:
    C  channels of the group
    M  sampled pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, Role
from pruning_core.data import iterate_batches, take
from pruning_core.importance.attribution import sum_attributions
from pruning_core.importance.block_leverage import ConsumerReads
from pruning_core.importance.class_coverage import ClassProfile, ClassSums
from pruning_core.importance.class_targets import TaskLabels
from pruning_core.importance.gate_gradients import BATCH_SIZE as GRADIENT_BATCH_SIZE
from pruning_core.importance.gate_gradients import GradientSums
from pruning_core.importance.patches import PatchSampler, Window, flow_layer, fold_scale, patch_weights
from pruning_core.importance.protocols import ImportanceContext
from pruning_core.importance.read_points import (
    BATCH_SIZE,
    NetworkReads,
    ReadObserver,
    ReadPoint,
    calibration_images,
    stream_reads,
)
from pruning_core.importance.task_relevance import (
    NEED_OUTPUTS,
    TASK_RELEVANCES,
    RelevanceObserver,
    average_normalised,
)

GRADIENT_RELEVANCES: dict[str, Callable[..., GradientSums]] = {"attribution": sum_attributions}
"""Task relevances that need a backward pass; called as ``sum_attributions`` is. The others are ``TASK_RELEVANCES``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """What a pass over calibration images left behind: relevances by (group, tensor read), or gradients for all
    groups, patches by (group, layer), class sums by group, and the pixels of the stem's group (name ``stem``;
    None if it cannot be pruned).
    """

    relevances: dict[tuple[str, int], RelevanceObserver] = field(default_factory=dict)
    samplers: dict[tuple[str, str], PatchSampler] = field(default_factory=dict)
    class_sums: dict[str, ClassSums] = field(default_factory=dict)
    gradients: list[GradientSums] = field(default_factory=list)
    stem: str | None = None
    stem_pixels: PatchSampler | None = None

    def merge(self, other: Measurements) -> None:
        """Add what was measured on other images of the same calibration set; ``other`` is not used any more."""
        for source, relevance in self.relevances.items():
            relevance.merge(other.relevances[source])
        self.gradients.extend(other.gradients)
        for place, sampler in self.samplers.items():
            sampler.merge(other.samplers[place])
        for group, sums in self.class_sums.items():
            sums.merge(other.class_sums[group])
        if self.stem_pixels is not None and other.stem_pixels is not None:
            self.stem_pixels.merge(other.stem_pixels)

    def relevance(self, points: Sequence[ReadPoint]) -> Tensor:
        """Return the task relevance of a group; consumers that read the same tensor count once."""
        if self.gradients:
            return reduce(GradientSums.plus, self.gradients).mean(points[0].group)
        sources = sorted({(point.group, point.source) for point in points})
        return average_normalised([self.relevances[source].relevance() for source in sources])

    def consumers(self, network: nn.Module, points: Sequence[ReadPoint]) -> Iterator[ConsumerReads]:
        """Go through what the consumers of a group read, the scale of a normalisation behind folded in."""
        for point in points:
            layer = flow_layer(network, point)
            norm = network.get_submodule(point.norm) if point.norm is not None else None
            yield ConsumerReads(
                patches_MCO=self.samplers[point.group, point.layer].patches(),
                weight_DCO=fold_scale(patch_weights(layer, point.positions_CS), norm),
            )

    def profiles(self) -> dict[str, ClassProfile]:
        """Return the class profiles of every group's channels."""
        return {group: sums.profile() for group, sums in self.class_sums.items()}

    def stem_responses(self) -> Tensor:
        """Return the stem's responses at sampled pixels, ``(M, C)``."""
        assert self.stem_pixels is not None
        return self.stem_pixels.patches().transpose(1, 2).flatten(0, 1)


def measure(
    context: ImportanceContext,
    reads: NetworkReads,
    *,
    part: range | None = None,
    batch_size: int = BATCH_SIZE,
) -> Measurements:
    """Run calibration images through the network once, and a second time if the task relevance needs more.

    Args:
        context: Network, groups and images.
        reads: The read points of all groups.
        part: Consecutive calibration images to look at; None for all. The parts of a set, merged, equal the set.
        batch_size: Images per forward pass.
    """
    observers: dict[str, list[ReadObserver]] = {point.layer: [] for point in reads.points}
    measurements = _all_to_measure(context, reads, observers, _task(context, part, batch_size))
    stream_reads(context, observers, part=part, batch_size=batch_size)
    relevance = context.settings.task_relevance
    if relevance in GRADIENT_RELEVANCES:
        smaller = min(batch_size, GRADIENT_BATCH_SIZE)
        gradients = GRADIENT_RELEVANCES[relevance](context, part=part, batch_size=smaller)
        measurements.gradients.append(gradients)
    return measurements


def _all_to_measure(
    context: ImportanceContext,
    reads: NetworkReads,
    observers: dict[str, list[ReadObserver]],
    task: TaskLabels,
) -> Measurements:
    labels_N = task.labels_N
    stem = _find_stem(context.graph, reads.first_layer)
    pixels: PatchSampler | None = None
    if stem is not None:
        point = reads.of_group(stem)[0]
        pixels = _sampler(context, Window(), point.positions_CS, len(labels_N), context.seed)
        observers[point.layer].append(pixels)
    measurements = Measurements(stem=stem, stem_pixels=pixels)
    for index, point in enumerate(reads.points):
        window = Window.of_layer(flow_layer(context.network, point))
        sampler = _sampler(context, window, point.positions_CS, len(labels_N), context.seed + index)
        measurements.samplers[point.group, point.layer] = sampler
        observers[point.layer].append(sampler)
        start = TASK_RELEVANCES.get(context.settings.task_relevance)
        if start is not None and (point.group, point.source) not in measurements.relevances:
            statistics = start(task)
            relevance = RelevanceObserver(point.positions_CS, statistics, context.settings.grid_size)
            measurements.relevances[point.group, point.source] = relevance
            observers[point.layer].append(relevance)
        if point.group not in measurements.class_sums:
            sums = ClassSums(point.positions_CS, context.data.num_classes)
            measurements.class_sums[point.group] = sums
            observers[point.layer].append(sums)
    return measurements


def _task(context: ImportanceContext, part: range | None, batch_size: int) -> TaskLabels:
    """Return the task of the calibration images; the dense network's outputs for those of this part, where needed."""
    images = calibration_images(context)
    task = TaskLabels(labels_N=images.labels_N, num_classes=context.data.num_classes, seed=context.seed)
    if context.settings.task_relevance not in NEED_OUTPUTS:
        return task
    shown = range(len(images)) if part is None else part
    batches = iterate_batches(
        take(images, torch.arange(shown.start, shown.stop)),
        context.data.normalisation,
        batch_size=batch_size,
        device=context.device,
    )
    with torch.no_grad():
        logits_NK = torch.cat([context.network(batch.images_NCHW).cpu() for batch in batches])
    outputs_NK = logits_NK.new_zeros(len(images), logits_NK.shape[1])
    outputs_NK[shown.start : shown.stop] = logits_NK
    return replace(task, outputs_NK=outputs_NK)


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


def _find_stem(graph: ChannelGraph, first_layer: str) -> str | None:
    """Return the group that the first convolution alone produces, if it is prunable."""
    for group in graph.groups:
        if [use.layer for use in group.uses if use.role is Role.PRODUCES] == [first_layer]:
            return group.name
    return None
