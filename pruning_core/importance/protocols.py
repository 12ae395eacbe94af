"""What every filter importance is given and must return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph
from pruning_core.config import ImportanceConfig
from pruning_core.data import DataSplits


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportanceContext:
    """A dense network in eval mode on ``device``, its prunable groups, and the data to look at.

    Only training images are read, without augmentation. ``seed`` fixes every random choice.
    """

    network: nn.Module
    graph: ChannelGraph
    data: DataSplits
    settings: ImportanceConfig
    seed: int
    device: str = "cpu"


class FilterImportance(Protocol):
    """Rates the channels of each group; numbers of different groups cannot be compared."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Return per group one float64 number per channel, on the CPU, finite and >= 0; higher stays.

        The same context gives the same numbers. The network comes back as it was.
        """
