"""Prove that a slim network computes what the dense one computes with the removed channels gated.

Shape suffixes used in this file:
    N  images
    C  classes, or channels of a map
    H, W  height, width
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.channels.layer_trace import evaluation_copy
from pruning_core.channels.layout import slim_layout
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.channels.weight_gates import gate_weights, hard_gates
from pruning_core.errors import UnsupportedNetworkError

TOLERANCE = 1e-5
DOUBLE_TOLERANCE = 1e-10


@torch.no_grad()
def verify_removal(
    network: nn.Module,
    slim: nn.Module,
    graph: ChannelGraph,
    selection: ChannelSelection,
    images_NCHW: Tensor,
) -> float:
    """Compare the slim network with the gated dense one on the CPU in evaluation mode.

    Args:
        network: The dense network.
        slim: What ``remove_channels`` made of it.
        graph: Its channel groups.
        selection: The channels that were kept.
        images_NCHW: Normalised images to compare on.

    Returns:
        max|difference| / max|logit|.

    Raises:
        UnsupportedNetworkError: It is above 1e-5 in single and 1e-10 in double precision; the text names the first
            layer that differs. Rounding alone can exceed the first in deep networks, a wrong removal exceeds both.
    """
    dense_copy, slim_copy = evaluation_copy(network), evaluation_copy(slim)
    first = next(dense_copy.parameters(), images_NCHW)
    images_NCHW = images_NCHW.detach().cpu().to(first.dtype)
    gates = hard_gates(graph, selection)
    difference = _difference(dense_copy, slim_copy, gate_weights(dense_copy, graph, gates), images_NCHW)
    if first.dtype != torch.float64:
        if difference <= TOLERANCE:
            return difference
        dense_copy, slim_copy, images_NCHW = dense_copy.double(), slim_copy.double(), images_NCHW.double()
        difference = _difference(dense_copy, slim_copy, gate_weights(dense_copy, graph, gates), images_NCHW)
    if not difference <= DOUBLE_TOLERANCE:
        overrides = gate_weights(dense_copy, graph, gates)
        layer = _first_differing_layer(dense_copy, slim_copy, graph, selection, overrides, images_NCHW)
        raise UnsupportedNetworkError(
            f"the slim network must compute what the gated one does (relative difference up to {DOUBLE_TOLERANCE:g} in "
            f"double precision), but they differ by {difference:.3g}{f', first at layer {layer!r}' if layer else ''}"
        )
    return difference


def _difference(
    dense: nn.Module, slim: nn.Module, overrides: dict[str, Tensor], images_NCHW: Tensor
) -> float:
    return relative_difference(slim(images_NCHW), functional_call(dense, overrides, (images_NCHW,)))


def relative_difference(values: Tensor, reference: Tensor) -> float:
    """Return max|values - reference| / max|reference|."""
    scale = max(reference.abs().max().item(), torch.finfo(reference.dtype).tiny)
    return (values - reference).abs().max().item() / scale


def _first_differing_layer(
    dense: nn.Module,
    slim: nn.Module,
    graph: ChannelGraph,
    selection: ChannelSelection,
    overrides: Mapping[str, Tensor],
    images_NCHW: Tensor,
) -> str | None:
    """Return the earliest layer whose kept outputs differ clearly, or None where only the last step does."""
    layout = slim_layout(dense, graph, selection)
    dense_outputs, slim_outputs = _LayerOutputs(dense), _LayerOutputs(slim)
    with dense_outputs, slim_outputs:
        functional_call(dense, dict(overrides), (images_NCHW,))
        slim(images_NCHW)
    for name, expected in dense_outputs.values.items():
        kept = layout.get(name, {}).get("kept_out")
        dim = -1 if isinstance(dense.get_submodule(name), nn.Linear) else 1
        expected_kept = expected.index_select(dim, torch.tensor(kept)) if kept is not None else expected
        found = slim_outputs.values.get(name)
        if found is None or found.shape != expected_kept.shape:
            return name
        if not relative_difference(found, expected_kept) <= DOUBLE_TOLERANCE:
            return name
    return None


class _LayerOutputs:
    """Records what each layer that can be sliced gave, in forward order, inside the ``with`` block."""

    def __init__(self, network: nn.Module) -> None:
        self.values: dict[str, Tensor] = {}
        self._layers = [(name, module) for name, module in network.named_modules() if layer_shape(module)]
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> None:
        for name, module in self._layers:
            self._handles.append(
                module.register_forward_hook(
                    lambda _module, _args, output, name=name: self.values.update({name: output})
                )
            )

    def __exit__(self, *_error: object) -> None:
        for handle in self._handles:
            handle.remove()
