"""Fold batch normalisations into the layers before them: the same function with fewer steps and numbers.

In evaluation mode a batch normalisation scales and shifts each channel by constants. Where it reads the output of a
convolution or linear layer that nothing else reads, those constants can be part of that layer's weights and bias.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from pruning_core.errors import InvalidCheckpointError, UnsupportedNetworkError
from pruning_core.export.exported_file import TOLERANCE, largest_difference
from pruning_core.export.pt2_file import trace_program

FoldedLayers = Mapping[str, str]
"""The layer before it, by batch normalisation; names as of ``named_modules``."""

_PROOF_TOLERANCE = 1e-10  # in double precision
_aten = torch.ops.aten
_LAYERS = {_aten.conv2d.default, _aten.convolution.default, _aten.linear.default}
_NORMALISATIONS = {_aten.batch_norm.default, _aten._native_batch_norm_legit_no_training.default}
_WEIGHT, _RUNNING_MEAN = 1, 3  # places of arguments


def fold_batch_norm(network: nn.Module, images_NCHW: Tensor) -> tuple[nn.Module, dict[str, str]]:
    """Return a copy with every batch normalisation folded that can be, proved equal on images, and what was folded.

    Args:
        network: On the CPU, in evaluation mode; not changed.
        images_NCHW: Normalised images to prove it on.

    Raises:
        UnsupportedNetworkError: torch.export cannot follow the network, it has nothing to fold, or the folded
            network computes something else.
    """
    folded_layers = find_foldable(network, images_NCHW)
    if not folded_layers:
        raise UnsupportedNetworkError(
            "the network must have batch normalisations that alone read a convolution's or linear layer's output to "
            "be folded, but it has none; export it without folding"
        )
    exact = _fold(copy.deepcopy(network).double(), folded_layers)
    _prove(copy.deepcopy(network).double(), exact, images_NCHW.double(), _PROOF_TOLERANCE)
    number_format = next(network.parameters()).dtype
    folded = exact.to(number_format)
    _prove(network, folded, images_NCHW, TOLERANCE)
    return folded, folded_layers


def find_foldable(network: nn.Module, images_NCHW: Tensor) -> dict[str, str]:
    """Return the layer before it for each batch normalisation that can be folded."""
    program = trace_program(network, images_NCHW)
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    runs = Counter(_owner(node, names) for node in calls)
    modules = dict(network.named_modules())
    found = {}
    for node in calls:
        source = node.args[0] if node.args else None
        if node.target not in _NORMALISATIONS or not isinstance(source, fx.Node):
            continue
        norm, layer = _owner(node, names), _owner(source, names)
        if source.target not in _LAYERS or norm is None or layer is None:
            continue
        if len(source.users) == runs[norm] == runs[layer] == 1 and _can_fold(modules[layer], modules[norm]):
            found[norm] = layer
    return found


def take_folded_form(network: nn.Module, folded_layers: FoldedLayers) -> nn.Module:
    """Return a copy with biases where normalisations are folded, and nothing in the latter's place; weights are any.

    Raises:
        InvalidCheckpointError: The network has no such layers.
    """
    modules = dict(network.named_modules())
    for norm, layer in folded_layers.items():
        if norm not in modules or layer not in modules or not _can_fold(modules[layer], modules[norm]):
            raise InvalidCheckpointError(
                f"the network must have a batch normalisation {norm!r} to fold into {layer!r}, but it has not; build "
                "the architecture that was exported"
            )
    return _fold(copy.deepcopy(network).eval(), folded_layers)


def _owner(node: fx.Node, names: Mapping[str, str]) -> str | None:
    """Return the module whose weights a call reads; None for other calls."""
    place = _RUNNING_MEAN if node.target in _NORMALISATIONS else _WEIGHT if node.target in _LAYERS else None
    read = node.args[place] if place is not None and len(node.args) > place else None
    tensor = names.get(read.name) if isinstance(read, fx.Node) else None
    return tensor.rpartition(".")[0] if tensor is not None else None


def _can_fold(layer: nn.Module, norm: nn.Module) -> bool:
    plain = type(layer) in (nn.Conv2d, nn.Linear) and not parametrize.is_parametrized(layer)
    return plain and isinstance(norm, _BatchNorm) and norm.running_mean is not None


def _fold(network: nn.Module, folded_layers: FoldedLayers) -> nn.Module:
    """Fold in place."""
    for norm_name, layer_name in folded_layers.items():
        layer, norm = network.get_submodule(layer_name), network.get_submodule(norm_name)
        assert isinstance(norm, _BatchNorm)
        if isinstance(layer, nn.Linear):
            network.set_submodule(layer_name, fuse_linear_bn_eval(layer, norm))
        else:
            assert isinstance(layer, nn.Conv2d)
            network.set_submodule(layer_name, fuse_conv_bn_eval(layer, norm))
        network.set_submodule(norm_name, nn.Identity())
    return network


def _prove(network: nn.Module, folded: nn.Module, images_NCHW: Tensor, tolerance: float) -> None:
    difference = largest_difference(network, folded, images_NCHW)
    if not difference <= tolerance:
        raise UnsupportedNetworkError(
            f"the network with folded batch normalisations must compute what it did (relative difference up to "
            f"{tolerance:g} in {images_NCHW.dtype}), but differs by {difference:.3g}; export it without folding"
        )
