"""How well a network kept the dense network's explanations, on validation images.

Shape suffixes used in this file:
    N     images
    K, P  basis functions per mask, raw numbers per basis function
    C, H, W  channels, height and width of a map
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.channels.tap_scatter import scatter_map
from pruning_core.data import iterate_batches
from pruning_core.saliency import (
    SaliencySelector,
    dense_explanations,
    explanation_distance,
    explanation_similarity,
)
from pruning_core.stages.context import StageContext

_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplanationsKept:
    """Means over images: normalised ``distance`` (0 when equal), ``similarity`` in [0, 1] (1 when equal)."""

    distance: float
    similarity: float


@torch.no_grad()
def explanations_kept(
    context: StageContext,
    dense: nn.Module,
    selector: SaliencySelector,
    explain_other: Callable[[Tensor, Tensor], Tensor],
) -> ExplanationsKept:
    """Compare a network's explanations of the validation images with the dense network's.

    Args:
        context: Names the images and the device.
        dense: The dense network.
        selector: Explains both.
        explain_other: Normalised images and classes to ``raw_NKP`` of the other network.
    """
    data, device = context.data, context.device
    targets = dense_explanations(dense, selector, data.validation, data.normalisation, device=device)
    distances, similarities = [], []
    for batch in iterate_batches(data.validation, data.normalisation, batch_size=_BATCH_SIZE, device=device):
        wanted_NKP = targets.raw_NKP[batch.indices_N.cpu()].to(device)
        came_NKP = explain_other(batch.images_NCHW, targets.classes_N[batch.indices_N.cpu()].to(device))
        distances.append(explanation_distance(came_NKP, wanted_NKP, selector, "normalised"))
        similarities.append(
            explanation_similarity(selector.to_rbf(came_NKP), selector.to_rbf(wanted_NKP), data.image_size)
        )
    return ExplanationsKept(
        distance=torch.cat(distances).mean().item(), similarity=torch.cat(similarities).mean().item()
    )


def at_dense_width(
    selector: SaliencySelector, graph: ChannelGraph, selection: ChannelSelection
) -> Callable[[str, Tensor], Tensor]:
    """Return how the selector sees a slim network's maps: (tap's layer, slim map) to the map at the dense width.

    Args:
        selector: Its taps are among those of ``graph``.
        graph: The dense network's groups.
        selection: What the slim network kept.
    """
    width_of = {tap.layer: tap.num_channels for tap in selector.taps}

    def see_map(layer: str, map_NCHW: Tensor) -> Tensor:
        return scatter_map(map_NCHW, layer, width_of[layer], graph, selection)

    return see_map
