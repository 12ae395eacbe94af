"""What an exporter does: one network into one file, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from pruning_core.errors import UnsupportedNetworkError

INPUT_NAME, OUTPUT_NAME = "images", "logits"
TOLERANCE = 1e-5
"""Largest max|file - network| / max|logit|, in single precision."""
EXAMPLE_BATCH = 2  # a batch of 1 would be frozen into a file
_CHECKED_BATCHES = (1, 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedFile:
    """One written file; ``relative_difference`` is max|file - network| / max|logit| as found by running it
    (0 where the weights were read back and compared). ``facts``: what who loads it may have to know.
    """

    name: str
    relative_difference: float
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


class NetworkExporter(Protocol):
    """Writes one file that holds the whole network's weights, and checks it."""

    def __call__(self, network: nn.Module, folder: Path, example_images_NCHW: Tensor) -> ExportedFile:
        """Write into ``folder``.

        Args:
            network: On the CPU, in evaluation mode; not changed.
            folder: Exists.
            example_images_NCHW: Normalised images to compare the file and the network on; none of them gets into
                the file.

        Raises:
            UnsupportedNetworkError: The file does not compute what the network computes.
        """
        ...


def tracing_images(example_images_NCHW: Tensor) -> Tensor:
    """Return black images to trace a network with: some formats keep what they were traced with."""
    return torch.zeros_like(example_images_NCHW[:1]).repeat(EXAMPLE_BATCH, 1, 1, 1)


@torch.no_grad()
def largest_difference(network: nn.Module, loaded: nn.Module, example_images_NCHW: Tensor) -> float:
    """Return max|loaded - network| / max|logit| over batches of 1, 3 and of all example images."""
    differences = []
    for size in (*_CHECKED_BATCHES, len(example_images_NCHW)):
        images_NCHW = example_images_NCHW[torch.arange(size) % len(example_images_NCHW)]
        expected_NC = network(images_NCHW)
        scale = max(expected_NC.abs().max().item(), torch.finfo(expected_NC.dtype).tiny)
        differences.append((loaded(images_NCHW) - expected_NC).abs().max().item() / scale)
    return float(max(differences))


def check_difference(file: str, runtime: str, difference: float) -> None:
    """Refuse a file that computes something else.

    Raises:
        UnsupportedNetworkError: The difference is above ``TOLERANCE``, or no number.
    """
    if not difference <= TOLERANCE:
        raise UnsupportedNetworkError(
            f"{file} must compute what the network computes (relative difference up to {TOLERANCE:g}), but "
            f"{runtime} differs by {difference:.3g}; export this network in another format"
        )
