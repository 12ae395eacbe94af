"""Remove channels: slice the tensors of each layer and the numbers that describe them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.channels.layer_shapes import LayerShape, layer_shape
from pruning_core.channels.layout import LayerLayout, Layout, slim_layout
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.errors import InvalidCheckpointError

_PER_OUTPUT = ("weight", "bias", "running_mean", "running_var")


def remove_channels(network: nn.Module, graph: ChannelGraph, selection: ChannelSelection) -> nn.Module:
    """Return a physically smaller network that computes what the network computes with the other channels gated.

    The network itself stays as it is. Statistics, number formats, device and training mode carry over.

    Raises:
        InvalidSettingsError: The selection is not about the groups of this graph.
    """
    return apply_layout(network, slim_layout(network, graph, selection))


def apply_layout(dense_network: nn.Module, layout: Layout) -> nn.Module:
    """Return the slim network that a layout describes; the dense network stays as it is.

    Raises:
        InvalidCheckpointError: The layout was made for another network.
    """
    layers = dict(dense_network.named_modules())
    slim_tensors: dict[int, object] = {}  # what deepcopy takes instead of copying, by identity
    for name, entry in layout.items():
        module = layers.get(name)
        shape = layer_shape(module) if module is not None else None
        if module is None or shape is None:
            raise InvalidCheckpointError(
                f"the layout must describe this network, but it has no layer {name!r} that could be sliced"
            )
        _check_entry(name, entry, shape)
        slim_tensors |= _sliced_tensors(module, entry)
    slim = copy.deepcopy(dense_network, slim_tensors)
    for name, entry in layout.items():
        _describe(slim.get_submodule(name), entry)
    return slim


def _check_entry(name: str, entry: LayerLayout, shape: LayerShape) -> None:
    for end, kept, dense, width in (
        ("input", entry.get("kept_in"), entry.get("dense_in"), shape.in_width),
        ("output", entry.get("kept_out"), entry.get("dense_out"), shape.out_width),
    ):
        if kept is None:
            continue
        if dense != width:
            raise InvalidCheckpointError(
                f"layer {name!r} has {width} {end} channels, but the layout is for {dense}; build the dense "
                "architecture that the layout was made from"
            )
        if not kept or kept != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= width:
            raise InvalidCheckpointError(
                f"layer {name!r}: kept {end} channels must be ascending, different and below {width}, but the layout "
                f"says {kept}"
            )


def _sliced_tensors(module: nn.Module, entry: LayerLayout) -> dict[int, Tensor]:
    """Return the tensors of a layer that get smaller, by the identity of the dense one."""
    sliced: dict[int, Tensor] = {}
    for key in _PER_OUTPUT:
        dense = getattr(module, key, None)
        if dense is None:
            continue
        smaller = dense.detach()
        if "kept_out" in entry:
            smaller = smaller.index_select(0, torch.tensor(entry["kept_out"], device=dense.device))
        if "kept_in" in entry and key == "weight":
            smaller = smaller.index_select(1, torch.tensor(entry["kept_in"], device=dense.device))
        if smaller.shape != dense.shape:
            is_parameter = isinstance(dense, nn.Parameter)
            sliced[id(dense)] = nn.Parameter(smaller, dense.requires_grad) if is_parameter else smaller
    return sliced


def _describe(slim_layer: nn.Module, entry: LayerLayout) -> None:
    """Bring the numbers that a layer says of itself in line with its tensors."""
    shape = layer_shape(slim_layer)  # still the dense numbers
    assert shape is not None
    in_width = len(entry["kept_in"]) if "kept_in" in entry else shape.in_width
    out_width = len(entry["kept_out"]) if "kept_out" in entry else shape.out_width
    if isinstance(slim_layer, nn.Conv2d):
        if not shape.mixes_channels:  # whole convolution groups go, with their inputs
            slim_layer.groups = out_width * shape.conv_groups // shape.out_width
            in_width = slim_layer.groups * (shape.in_width // shape.conv_groups)
        slim_layer.in_channels, slim_layer.out_channels = in_width, out_width
    elif isinstance(slim_layer, nn.Linear):
        slim_layer.in_features, slim_layer.out_features = in_width, out_width
    elif isinstance(slim_layer, nn.PReLU):
        slim_layer.num_parameters = out_width
    elif isinstance(slim_layer, _BatchNorm):
        slim_layer.num_features = out_width
