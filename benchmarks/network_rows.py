"""Check one network by name: both scopes, the export, the time and the memory it takes.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

from benchmarks.network_list import image_side
from pruning_core.architectures import build_network
from pruning_core.channels import ChannelSelection, find_channel_groups, remove_channels, slim_layout
from pruning_core.config import ArchitectureConfig, ChannelsConfig, PruningConfig
from pruning_core.export import NetworkOrigin, export_network, rebuild_network
from search.network_check import NetworkCheck, prove_network, randomise_constants

NUM_CLASSES = 10
_NUM_IMAGES = 2


class ScopeRow(TypedDict):
    """What one scope gave. ``least_*``: cost with one channel left per group, as a share of the dense cost.

    ``difference``: the largest max|slim - gated| / max|gated logit| of all selections. ``left_alone``: number of
    layers by reason.
    """

    groups: int
    channels: int
    least_macs: float
    least_params: float
    difference: float
    left_alone: dict[str, int]


class NetworkRow(TypedDict):
    """What is known of one network. ``macs``: of one image of ``side`` x ``side`` pixels."""

    side: int
    macs: int
    params: int
    scopes: dict[str, ScopeRow]
    export: dict[str, float]
    rebuild: float
    seconds: float
    peak_memory_mb: int


def check_network_named(name: str, *, scopes: Sequence[str] = ("inner", "all")) -> NetworkRow:
    """Build ``torchvision:NAME`` or ``timm:NAME`` without weights, prune it in each scope, and export it.

    Raises:
        UnsupportedNetworkError: The network cannot be pruned safely, or its export computes something else.
    """
    started = time.process_time()
    network = build_untrained(name)
    images_NCHW = example_images(name)
    checks = {
        scope: prove_network(
            network, images_NCHW, PruningConfig(channels=ChannelsConfig(scope=scope, round_to=1))
        )
        for scope in scopes
    }
    differences, rebuilt = check_export(name, network, images_NCHW)
    dense = checks[scopes[0]].dense
    return NetworkRow(
        side=image_side(name),
        macs=dense.macs,
        params=dense.params,
        scopes={scope: _scope_row(check) for scope, check in checks.items()},
        export=differences,
        rebuild=rebuilt,
        seconds=round(time.process_time() - started, 1),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def build_untrained(name: str) -> nn.Module:
    """Build a network in evaluation mode with random weights, scales, shifts and statistics."""
    network = build_network(ArchitectureConfig(name=name), num_classes=NUM_CLASSES, in_channels=3)
    randomise_constants(network)
    return network.eval()


def example_images(name: str) -> Tensor:
    """Draw images of the size that a network is checked on."""
    side = image_side(name)
    return torch.randn((_NUM_IMAGES, 3, side, side), generator=torch.Generator().manual_seed(0))


def check_export(name: str, network: nn.Module, images_NCHW: Tensor) -> tuple[dict[str, float], float]:
    """Export a slim network and build it again.

    Returns:
        Per exporter max|file - network| / max|logit|, and max|rebuilt - network|.
    """
    shape = (images_NCHW.shape[1], images_NCHW.shape[2], images_NCHW.shape[3])
    graph = find_channel_groups(network, shape, scope="all")
    kept = {group.name: tuple(range(0, group.num_channels, 2)) for group in graph.groups}
    selection = ChannelSelection(kept=kept)
    slim = remove_channels(network, graph, selection)
    with tempfile.TemporaryDirectory() as folder:
        report = export_network(
            slim,
            Path(folder) / "network",
            NetworkOrigin(
                architecture=ArchitectureConfig(name=name).model_dump(mode="json"),
                layout=slim_layout(network, graph, selection),
                input_shape=shape,
                class_names=[str(label) for label in range(NUM_CLASSES)],
                normalisation={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
                facts={},
            ),
            example_images=images_NCHW,
        )
        rebuilt = rebuild_network(report.folder)
    with torch.no_grad():
        difference = (rebuilt(images_NCHW) - slim(images_NCHW)).abs().max().item()
    return {name: file.relative_difference for name, file in report.files.items()}, difference


def _scope_row(check: NetworkCheck) -> ScopeRow:
    narrowest = check.removals[0]
    reasons = Counter(one.reason for one in check.untouched)
    return ScopeRow(
        groups=check.num_groups,
        channels=check.num_channels,
        least_macs=narrowest.cost.macs / check.dense.macs,
        least_params=narrowest.cost.params / check.dense.params,
        difference=max(removal.difference for removal in check.removals),
        left_alone=dict(reasons.most_common()),
    )
