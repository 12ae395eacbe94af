"""Classifiers of torchvision, fitted to the data's channels and classes; nothing else is changed."""

from __future__ import annotations

import difflib
from enum import Enum
from typing import Any

import torch
from torch import nn
from torchvision import models

from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidCheckpointError, InvalidSettingsError, UnsupportedNetworkError

PREFIX = "torchvision:"
_ATTENTION_PREFIXES = ("vit_", "swin", "maxvit")
_WITH_AUXILIARY_HEADS = frozenset({"googlenet", "inception_v3"})
_WITH_WIDTH = frozenset({"mobilenet_v2"})


def check_torchvision_network(config: ArchitectureConfig) -> None:
    """Refuse what cannot be built or pruned, before anything is built or downloaded.

    Raises:
        InvalidSettingsError: The name or the weights are unknown, or the width has no effect.
        UnsupportedNetworkError: An attention model: heads share its channels out.
    """
    if config.name.removeprefix(PREFIX).startswith(_ATTENTION_PREFIXES):
        raise UnsupportedNetworkError(
            f"the network must be a CNN without attention, but {config.name!r} is an attention model; choose another"
        )
    name = _known_name(config.name)
    if config.weights is not None:
        weights_of(config)
    if config.width != 1.0 and name not in _WITH_WIDTH:
        raise InvalidSettingsError(
            f"architecture.width must be left at 1 for {config.name!r}, whose widths are fixed, but got "
            f"{config.width:g}"
        )
    if config.width != 1.0 and config.weights is not None:
        raise InvalidSettingsError(
            f"architecture.width must be left at 1 with weights {config.weights!r}, which have that width, but got "
            f"{config.width:g}"
        )


def build_torchvision_network(
    config: ArchitectureConfig, *, num_classes: int, in_channels: int, load_weights: bool
) -> nn.Module:
    """Build ``torchvision:NAME``, without auxiliary heads; the settings have been checked.

    With weights, the first convolution of a greyscale network sums the weights over the colours, and the last
    layer is new if the number of classes differs.

    Raises:
        InvalidCheckpointError: The weights cannot be downloaded.
    """
    name = _known_name(config.name)
    arguments: dict[str, Any] = {}
    if name in _WITH_AUXILIARY_HEADS:
        arguments["aux_logits"] = False
    if config.width != 1.0:
        arguments["width_mult"] = config.width
    if config.weights is None or not load_weights:
        if name in _WITH_AUXILIARY_HEADS:
            arguments["init_weights"] = True
        network: nn.Module = models.get_model(name, num_classes=num_classes, **arguments)
    else:
        network = _download(name, weights_of(config), arguments)
        _replace_head(network, num_classes)
    if in_channels != 3:
        _replace_first_convolution(network, in_channels)
    return network


def weights_of(config: ArchitectureConfig) -> Enum:
    """Return torchvision's enum member that ``config.weights`` names.

    Raises:
        InvalidSettingsError: There is no such member.
    """
    known = models.get_model_weights(_known_name(config.name)).__members__
    if config.weights not in known:
        raise InvalidSettingsError(
            f"architecture.weights of {config.name!r} must be one of {', '.join(known)}, but got {config.weights!r}"
        )
    return known[config.weights]  # type: ignore[no-any-return]  # torchvision is untyped


def num_classes_of(weights: Enum) -> int:
    """Return how many classes pre-trained weights tell apart."""
    return len(weights.value.meta["categories"])


def _known_name(name: str) -> str:
    short, known = name.removeprefix(PREFIX), models.list_models(module=models)
    if short not in known:
        similar = ", ".join(difflib.get_close_matches(short, known, n=5, cutoff=0.5)) or ", ".join(known[:5])
        raise InvalidSettingsError(
            f"unknown torchvision network {short!r}. Its {len(known)} classifiers include: {similar}."
        )
    return short


def _download(name: str, weights: Enum, arguments: dict[str, Any]) -> nn.Module:
    try:
        network: nn.Module = models.get_model(name, weights=weights, **arguments)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidCheckpointError(
            f"weights {weights.name!r} of {name!r} must be downloadable or cached, but are not ({reason}); connect to "
            "the internet, or set architecture.checkpoint to a file"
        ) from error
    return network


def _replace_head(network: nn.Module, num_classes: int) -> None:
    layers = [
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))
    ]
    name, head = layers[-1]
    if isinstance(head, nn.Linear):
        if head.out_features != num_classes:
            network.set_submodule(name, nn.Linear(head.in_features, num_classes))
    elif head.out_channels != num_classes:  # SqueezeNet
        network.set_submodule(name, nn.Conv2d(head.in_channels, num_classes, kernel_size=1))


def _replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    name, first = next(
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)
    )
    adapted = nn.Conv2d(
        in_channels,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]  # two numbers in every network of torchvision
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    with torch.no_grad():
        adapted.weight.copy_(first.weight.sum(1, keepdim=True).expand_as(adapted.weight) / in_channels)
        if first.bias is not None and adapted.bias is not None:
            adapted.bias.copy_(first.bias)
    network.set_submodule(name, adapted)
    if isinstance(network, (models.GoogLeNet, models.Inception3)):
        network.transform_input = False  # it re-scales three colours
