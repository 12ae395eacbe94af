"""Which classes a selection leaves without a detector: a report, not a criterion.

A channel detects the classes, at most three, that raise its response and explain the most of its variance.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    K  classes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.channels.structures import ChannelSelection
from pruning_core.importance.protocols import ImportanceContext
from pruning_core.importance.read_points import channel_responses, find_read_points, stream_reads

CLASSES_PER_CHANNEL = 3
MIN_SHARE = 0.01  # of the channel's variance that a detected class explains


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassProfile:
    """Responses of a group's channels by class, at the first layer that reads them.

    ``mean_CK``: mean response to the images of a class. ``share_CK``: share of the channel's variance over images that
    the class's mean explains; over the classes it sums to eta^2, at most 1.
    """

    mean_CK: Tensor
    share_CK: Tensor

    def detectors(self) -> Tensor:
        """Return booleans ``(C, K)``: the channel detects the class."""
        above_CK = self.mean_CK > self.mean_CK.mean(dim=1, keepdim=True)
        share_CK = torch.where(above_CK, self.share_CK, torch.zeros_like(self.share_CK))
        top = share_CK.topk(min(CLASSES_PER_CHANNEL, share_CK.shape[1]), dim=1)
        return torch.zeros_like(share_CK, dtype=torch.bool).scatter(1, top.indices, top.values >= MIN_SHARE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCoverage:
    """Classes (indices) that had detectors in the dense network and have none left: per group, and in all groups."""

    lost_by_group: Mapping[str, tuple[int, ...]]
    lost_everywhere: tuple[int, ...]


class ClassSums:
    """Sums over images of each channel's mean response, by class; batches may come in any split."""

    def __init__(self, positions_CS: Tensor, num_classes: int) -> None:
        num_channels = len(positions_CS)
        self._positions_CS = positions_CS
        self._count_K = torch.zeros(num_classes, dtype=torch.float64)
        self._sum_KC = torch.zeros(num_classes, num_channels, dtype=torch.float64)
        self._square_C = torch.zeros(num_channels, dtype=torch.float64)

    def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:  # noqa: ARG002
        """Add what the layer reads for one batch."""
        response_NC = channel_responses(inputs, self._positions_CS).double().mean(dim=(2, 3, 4)).cpu()
        labels_N = labels_N.cpu()
        self._count_K.index_add_(0, labels_N, torch.ones(len(labels_N), dtype=torch.float64))
        self._sum_KC.index_add_(0, labels_N, response_NC)
        self._square_C += response_NC.square().sum(dim=0)

    def profile(self) -> ClassProfile:
        """Return class means and the variance that each class explains; a class without images explains nothing."""
        count = self._count_K.sum()
        overall_C = self._sum_KC.sum(dim=0) / count
        seen_K1 = self._count_K[:, None] > 0
        mean_KC = torch.where(seen_K1, self._sum_KC / self._count_K.clamp_min(1)[:, None], overall_C)
        variance_C = (self._square_C / count - overall_C.square()).clamp_min(0)
        varies_C = variance_C > 1e-12 * self._square_C / count
        between_KC = self._count_K[:, None] / count * (mean_KC - overall_C).square()
        share_KC = torch.where(
            varies_C, between_KC / variance_C.where(varies_C, torch.ones_like(variance_C)), 0.0
        )
        return ClassProfile(mean_CK=mean_KC.T.contiguous(), share_CK=share_KC.T.contiguous())


def measure_class_profiles(context: ImportanceContext) -> dict[str, ClassProfile]:
    """Run the calibration images through the network once and profile every group's channels."""
    reads = find_read_points(context)
    first_reads = {point.group: point for point in reversed(reads.points)}
    sums = {
        group: ClassSums(point.positions_CS, context.data.num_classes) for group, point in first_reads.items()
    }
    observers: dict[str, list[ClassSums]] = {}
    for group, point in first_reads.items():
        observers.setdefault(point.layer, []).append(sums[group])
    stream_reads(context, observers)
    return {group.name: sums[group.name].profile() for group in context.graph.groups}


def report_class_coverage(profiles: Mapping[str, ClassProfile], selection: ChannelSelection) -> ClassCoverage:
    """Tell which classes lose all their detectors when only the selected channels stay."""
    num_classes = next(iter(profiles.values())).mean_CK.shape[1]
    before_K = torch.zeros(num_classes, dtype=torch.bool)
    after_K = torch.zeros(num_classes, dtype=torch.bool)
    lost_by_group: dict[str, tuple[int, ...]] = {}
    for group, profile in profiles.items():
        detectors_CK = profile.detectors()
        group_before_K = detectors_CK.any(dim=0)
        group_after_K = detectors_CK[list(selection.kept[group])].any(dim=0)
        lost_by_group[group] = _indices(group_before_K & ~group_after_K)
        before_K |= group_before_K
        after_K |= group_after_K
    return ClassCoverage(lost_by_group=lost_by_group, lost_everywhere=_indices(before_K & ~after_K))


def _indices(flags_K: Tensor) -> tuple[int, ...]:
    return tuple(torch.nonzero(flags_K).flatten().tolist())
