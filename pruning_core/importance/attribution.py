"""How much of the evidence for each image's class comes through a channel: attribution.

With z the logits of image n, of class y, and a gate g that multiplies what all consumers of a channel read,

    evidence e_n = d (z_y - mean_k z_k) / dg  =  sum over consumers and positions of  activation x gradient
    attribution  = mean over images of max(0, e_n)

For convolutions, linear layers, ReLU and pooling without biases e_n is layer-wise relevance propagation (LRP-0) and
conductance: the evidence of a group that every path runs through adds up to the image's whole evidence
(logits are then homogeneous in what the group's consumers read). Evidence against the image's class does not count:
it would stand for a detector of another class.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

References:
    [Bach2015] S. Bach et al. On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
        Propagation. PLoS ONE 2015.
    [Dhamdhere2019] K. Dhamdhere, M. Sundararajan, Q. Yan. How Important Is a Neuron? ICLR 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.importance.gate_gradients import (
    BATCH_SIZE,
    GradientSums,
    sum_gate_gradients,
    summed_evidence,
)
from pruning_core.importance.protocols import FilterImportance, ImportanceContext


class AttributionImportance:
    """Mean positive evidence over the calibration images, in units of the logits: comparable between groups."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Take one forward and one backward pass over the calibration images.

        Raises:
            UnsupportedNetworkError: A consumer does not read one row per image.
        """
        sums = sum_attributions(context)
        return {name: sums.mean(name) for name in sums.totals}


def sum_attributions(
    context: ImportanceContext, *, part: range | None = None, batch_size: int = BATCH_SIZE
) -> GradientSums:
    """Return the sums over calibration images that attributions are the means of; those of parts can be added.

    Raises:
        UnsupportedNetworkError: A consumer does not read one row per image.
    """
    return sum_gate_gradients(context, summed_evidence, torch.relu, part=part, batch_size=batch_size)


if TYPE_CHECKING:
    _: FilterImportance = AttributionImportance()
