"""The task as numbers: which class each calibration image has, and a target vector per class or per image.

Shape suffixes used in this file:
    N  images
    K  classes
    D  numbers per target (K, or 64 random projections of the one-hot vector for many classes)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MANY_CLASSES = 200  # from here on, targets are projected
NUM_PROJECTIONS = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TaskLabels:
    """Labels of all calibration images: what is known of the task before any response is seen.

    ``seed``: of the random projection of many classes. ``outputs_NK``: the dense network's logits, for relevances whose
    task is what the network answers.
    """

    labels_N: Tensor
    num_classes: int
    seed: int
    outputs_NK: Tensor | None = None

    def merged_classes(self) -> Tensor:
        """Return a class for each class, ``(K,)``: classes with fewer than two images become the first of them.

        One image tells nothing about the spread within its class.
        """
        counts_K = torch.bincount(self.labels_N.cpu(), minlength=self.num_classes)
        merged_K = torch.arange(self.num_classes)
        rare = torch.nonzero(counts_K < 2).flatten()
        if len(rare) > 0:
            merged_K[rare] = rare[0]
        return merged_K

    def targets(self) -> Tensor:
        """Return the target vector of each class, as rows ``(K, D)``.

        One-hot; merged classes share one target; ``MANY_CLASSES`` or more are projected to ``NUM_PROJECTIONS``
        dimensions by a seeded Gaussian matrix. That keeps inner products up to an error of 1/sqrt(D).
        """
        return self._few_dimensions(torch.eye(self.num_classes, dtype=torch.float64)[self.merged_classes()])

    def output_targets(self) -> Tensor:
        """Return the dense network's logits as a target vector per image, as rows ``(N, D)``; projected likewise."""
        assert self.outputs_NK is not None, "who asks for outputs has them measured"
        return self._few_dimensions(self.outputs_NK.double().cpu())

    def _few_dimensions(self, rows_K: Tensor) -> Tensor:
        if self.num_classes < MANY_CLASSES:
            return rows_K
        generator = torch.Generator().manual_seed(self.seed)
        projection_KD = torch.randn(
            self.num_classes, NUM_PROJECTIONS, generator=generator, dtype=torch.float64
        )
        projected: Tensor = rows_K @ projection_KD / NUM_PROJECTIONS**0.5
        return projected
