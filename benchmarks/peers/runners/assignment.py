"""What a peer's tool is given to prune, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from pruning_core.data import DataSplits

__all__ = ["Assignment", "Pruner"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """One network to prune.

    Attributes:
        network: The trained one; the tool may change it.
        data: To train on and, for tools that search, to score candidates by (validation images only).
        max_macs: The budget, by our count.
        training_epochs: The tool may train for so long before it removes channels.
        seed: Of what the tool draws.
        device: Where the network is.
        options: For the tool alone.
    """

    network: nn.Module
    data: DataSplits
    max_macs: int
    training_epochs: int
    seed: int
    device: str
    options: Mapping[str, Any]


class Pruner(Protocol):
    """A tool's ``prune`` function."""

    def __call__(self, given: Assignment) -> nn.Module:
        """Return a network within the budget.

        Raises:
            RuntimeError: The tool did not get there.
        """
