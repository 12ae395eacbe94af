"""How many of the class's nats a channel's mean response tells: mutual information over quantile bins.

    task relevance = (I(bin; class) - (B' - 1)(K' - 1) / 2N) / H(class)        clipped to [0, 1]

I is the plug-in estimate. The subtracted term is its bias to first order [Miller1955], with the bins and classes that
occur. Any strictly increasing function of the response gives the same number. The bias grows with the number of
classes, so this is for few of them.

Shape suffixes used in this file:
    N  images
    C  channels of the group
    F  numbers per response
    B  bins
    K  classes

References:
    [Miller1955] G. A. Miller. Note on the bias of information estimates. Information Theory in Psychology, 1955.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from pruning_core.errors import InvalidSettingsError
from pruning_core.importance.class_targets import TaskLabels

NUM_BINS = 10


class MutualInformation:
    """The mean responses of all images: quantiles need every one of them (4 bytes per image and channel).

    Args:
        class_of_K: Which class each label counts as.
    """

    def __init__(self, class_of_K: Tensor) -> None:
        self._class_of_K = class_of_K
        self._means: list[Tensor] = []
        self._classes: list[Tensor] = []

    @classmethod
    def of_task(cls, task: TaskLabels) -> Self:
        """Start from nothing, for the classes of a task.

        Raises:
            InvalidSettingsError: There are so few images that more than half a nat would be bias.
        """
        class_of_K = task.merged_classes()
        needed = (NUM_BINS - 1) * (len(torch.unique(class_of_K)) - 1)
        if len(task.labels_N) < needed:
            raise InvalidSettingsError(
                f"importance.task_relevance 'mutual_information' needs {needed} calibration images for "
                f"{task.num_classes} classes, but there are {len(task.labels_N)}; raise importance.num_images or take "
                "'cka'"
            )
        return cls(class_of_K)

    def update(self, responses_NCF: Tensor, labels_N: Tensor, first_image: int) -> None:  # noqa: ARG002
        """Keep the mean responses of one batch."""
        self._means.append(responses_NCF.mean(dim=2).float().cpu())
        self._classes.append(self._class_of_K[labels_N.cpu()])

    def merge(self, other: Self) -> None:
        """Add other images."""
        self._means += other._means
        self._classes += other._classes

    def relevance(self) -> Tensor:
        """Return the share of the class's entropy ``(C,)`` in [0, 1], float64; 0 for a constant response.

        Raises:
            ValueError: No image has been seen.
        """
        if not self._means:
            raise ValueError("at least 1 image must be seen before the mutual information is asked for")
        bin_NC, class_N = quantile_bins(torch.cat(self._means)), torch.cat(self._classes)
        joint_CBK = _joint_counts(bin_NC, class_N, len(self._class_of_K)) / len(class_N)
        class_CK, bin_CB = joint_CBK.sum(dim=1), joint_CBK.sum(dim=2)
        entropy = _entropy(class_CK[:1])
        if float(entropy) <= 0:
            return torch.zeros(bin_NC.shape[1], dtype=torch.float64)
        information_C = _entropy(class_CK) + _entropy(bin_CB) - _entropy(joint_CBK.flatten(1))
        freedom_C = ((bin_CB > 0).sum(dim=1) - 1) * (int((class_CK[0] > 0).sum()) - 1)
        return ((information_C - freedom_C / (2 * len(class_N))) / entropy).clamp(0, 1)


def quantile_bins(values_NC: Tensor) -> Tensor:
    """Return the bin of each value within its column, 0 to ``NUM_BINS`` - 1; equal values share a bin."""
    sorted_NC = values_NC.sort(dim=0).values
    bin_NC = torch.zeros(values_NC.shape, dtype=torch.int64)
    for edge in range(1, NUM_BINS):
        bin_NC += values_NC >= sorted_NC[edge * len(values_NC) // NUM_BINS]
    return bin_NC


def _joint_counts(bin_NC: Tensor, class_N: Tensor, num_classes: int) -> Tensor:
    """Count images per channel, bin and class, ``(C, B, K)``, float64."""
    num_channels = bin_NC.shape[1]
    channel_C = torch.arange(num_channels)
    cell_NC = (channel_C * NUM_BINS + bin_NC) * num_classes + class_N[:, None]
    counts = torch.bincount(cell_NC.flatten(), minlength=num_channels * NUM_BINS * num_classes)
    return counts.reshape(num_channels, NUM_BINS, num_classes).double()


def _entropy(shares: Tensor) -> Tensor:
    """Return the entropy of each row, in nats."""
    return -torch.xlogy(shares, shares).sum(dim=1)
