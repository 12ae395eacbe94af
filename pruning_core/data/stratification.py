"""Choosing images so that the classes keep their proportions, the same way for the same seed.

Shape suffixes used in this file:
    N  images
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def share_out(count: int, class_sizes: Sequence[int]) -> list[int]:
    """Share ``count`` images out over the classes in proportion to their sizes.

    Whole numbers by largest remainder; among equal remainders the first class comes first. The result adds up
    to ``count`` and no class gives more than it has.
    """
    total = sum(class_sizes)
    assert 0 <= count <= total
    quotas = [count * size // total for size in class_sizes]
    remainders = [count * size % total for size in class_sizes]
    by_remainder = sorted(range(len(class_sizes)), key=lambda label: -remainders[label])
    for label in by_remainder[: count - sum(quotas)]:
        quotas[label] += 1
    return quotas


def take_per_class(labels_N: Tensor, quotas: Sequence[int], seed: int) -> Tensor:
    """Draw ``quotas[c]`` images of each class ``c`` without replacement; their positions, ascending."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for label, quota in enumerate(quotas):
        positions = (labels_N == label).nonzero().flatten()
        order = torch.randperm(positions.shape[0], generator=generator)
        drawn.append(positions[order[:quota]])
    return torch.cat(drawn).sort().values
