"""How much the loss would change, to first order, if a channel's gate closed.

A gate g multiplies what all consumers of a channel read. At open gates the loss of image n changes by

    -dL_n / dg  =  - sum over consumers and positions of  activation x gradient

when it closes. The score is the mean over images of the absolute value: with the sign kept, images would cancel, and
at a minimum of the loss they do so for every channel.

[Molchanov2017] rate maps one by one and normalise per layer; gates, and scores compared across layers as they
are, come from [Molchanov2019], who square sums over batches.

References:
    [Molchanov2017] P. Molchanov, S. Tyree, T. Karras, T. Aila, J. Kautz. Pruning Convolutional Neural Networks for
        Resource Efficient Inference. ICLR 2017.
    [Molchanov2019] P. Molchanov, A. Mallya, S. Tyree, I. Frosio, J. Kautz. Importance Estimation for Neural Network
        Pruning. CVPR 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.importance.gate_gradients import sum_gate_gradients, summed_cross_entropy
from pruning_core.importance.protocols import FilterImportance, ImportanceContext


class TaylorImportance:
    """Mean absolute gate gradient over the calibration images, in units of the cross-entropy."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Take one forward and one backward pass over the calibration images.

        Raises:
            UnsupportedNetworkError: A consumer does not read one row per image.
        """
        sums = sum_gate_gradients(context, summed_cross_entropy, torch.abs)
        return {name: sums.mean(name) for name in sums.totals}


if TYPE_CHECKING:
    _: FilterImportance = TaylorImportance()
