"""What an exporter does: one network into one file, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedFile:
    """One written file; ``relative_difference`` is max|file - network| / max|logit| as found by running it
    (0 where the weights were read back and compared).
    """

    name: str
    relative_difference: float


class NetworkExporter(Protocol):
    """Writes one file that holds the whole network's weights, and checks it."""

    def __call__(self, network: nn.Module, folder: Path, example_images_NCHW: Tensor) -> ExportedFile:
        """Write into ``folder``.

        Args:
            network: On the CPU, in evaluation mode; not changed.
            folder: Exists.
            example_images_NCHW: Normalised images to compare the file and the network on.

        Raises:
            UnsupportedNetworkError: The file does not compute what the network computes.
        """
        ...
