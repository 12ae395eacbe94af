"""Which classes a selection leaves without a detector: a report, not a criterion.

A channel detects the classes, at most three, that raise its response and explain the most of its variance.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    K  classes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from pruning_core.channels.structures import ChannelSelection
from pruning_core.importance.read_points import channel_responses

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
        share, label = self._top_classes()
        return torch.zeros_like(self.share_CK, dtype=torch.bool).scatter(1, label, share >= MIN_SHARE)

    def detected_classes(self) -> list[tuple[int, ...]]:
        """Return per channel the classes it detects, the one that explains most first."""
        share, label = self._top_classes()
        return [
            tuple(label_row[share_row >= MIN_SHARE].tolist())
            for share_row, label_row in zip(share, label, strict=True)
        ]

    def _top_classes(self) -> tuple[Tensor, Tensor]:
        """Return the largest shares of classes that raise the response, falling, and those classes."""
        above_CK = self.mean_CK > self.mean_CK.mean(dim=1, keepdim=True)
        share_CK = torch.where(above_CK, self.share_CK, torch.zeros_like(self.share_CK))
        top = share_CK.topk(min(CLASSES_PER_CHANNEL, share_CK.shape[1]), dim=1)
        return top.values, top.indices


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorCounts:
    """How many channels detect each class: ``dense`` of all, ``kept`` of those that stay."""

    dense: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def lost(self) -> tuple[int, ...]:
        """Classes (indices) that had detectors and have none left."""
        pairs = enumerate(zip(self.dense, self.kept, strict=True))
        return tuple(label for label, (before, after) in pairs if before and not after)


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

    def merge(self, other: Self) -> None:
        """Add the sums over other images."""
        self._count_K += other._count_K
        self._sum_KC += other._sum_KC
        self._square_C += other._square_C

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


def count_detectors(
    profiles: Mapping[str, ClassProfile], selection: ChannelSelection
) -> dict[str, DetectorCounts]:
    """Count by group how many channels detect each class, of all and of those that are kept."""
    counts: dict[str, DetectorCounts] = {}
    for group, profile in profiles.items():
        detectors_CK = profile.detectors()
        counts[group] = DetectorCounts(
            dense=tuple(detectors_CK.sum(dim=0).tolist()),
            kept=tuple(detectors_CK[list(selection.kept[group])].sum(dim=0).tolist()),
        )
    return counts


def report_class_coverage(profiles: Mapping[str, ClassProfile], selection: ChannelSelection) -> ClassCoverage:
    """Tell which classes lose all their detectors when only the selected channels stay."""
    counts = count_detectors(profiles, selection)
    overall = DetectorCounts(
        dense=tuple(map(sum, zip(*(one.dense for one in counts.values()), strict=True))),
        kept=tuple(map(sum, zip(*(one.kept for one in counts.values()), strict=True))),
    )
    return ClassCoverage(
        lost_by_group={group: one.lost for group, one in counts.items()}, lost_everywhere=overall.lost
    )


def coverage_facts(
    profiles: Mapping[str, ClassProfile], selection: ChannelSelection, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return the coverage of a selection by class names, as JSON can hold it.

    ``removed_detectors``: per group and removed channel the classes that it detected, most explained first.
    ``lost_by_group``: groups that lost all their detectors of some class, and which classes. ``warnings``: one sentence
    for each class that lost its detectors in all groups.
    """
    coverage = report_class_coverage(profiles, selection)
    removed: dict[str, dict[str, list[str]]] = {}
    for group, profile in profiles.items():
        kept = set(selection.kept[group])
        removed[group] = {
            str(channel): [class_names[label] for label in labels]
            for channel, labels in enumerate(profile.detected_classes())
            if labels and channel not in kept
        }
    return {
        "removed_detectors": {group: channels for group, channels in removed.items() if channels},
        "lost_by_group": {
            group: [class_names[label] for label in lost]
            for group, lost in coverage.lost_by_group.items()
            if lost
        },
        "warnings": [
            f"class {class_names[label]!r} has lost its detectors in every group"
            for label in coverage.lost_everywhere
        ],
    }
