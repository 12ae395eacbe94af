"""Networks to prune: built by name, with weights from torchvision or a file."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from pruning_core.architectures.checkpoints import load_checkpoint, load_tensors
from pruning_core.architectures.cifar_resnet import CIFAR_RESNETS
from pruning_core.architectures.timm_networks import PREFIX as TIMM_PREFIX
from pruning_core.architectures.timm_networks import build_timm_network, check_timm_network
from pruning_core.architectures.torchvision_networks import (
    PREFIX,
    build_torchvision_network,
    check_torchvision_network,
    num_classes_of,
    weights_of,
)
from pruning_core.architectures.user_networks import build_user_network
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidSettingsError
from pruning_core.user_functions import is_user_function

__all__ = [
    "ARCHITECTURES",
    "build_network",
    "check_supported",
    "load_checkpoint",
    "load_tensors",
    "needs_training",
]

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "cifar_resnet8": CIFAR_RESNETS["cifar_resnet8"],
    "cifar_resnet20": CIFAR_RESNETS["cifar_resnet20"],
    "cifar_resnet32": CIFAR_RESNETS["cifar_resnet32"],
    "cifar_resnet56": CIFAR_RESNETS["cifar_resnet56"],
    "cifar_resnet110": CIFAR_RESNETS["cifar_resnet110"],
}
"""Called with the settings, ``num_classes`` and ``in_channels``."""


def build_network(
    config: ArchitectureConfig,
    *,
    num_classes: int,
    in_channels: int,
    seed: int = 0,
    load_weights: bool = True,
) -> nn.Module:
    """Build a network with ``forward(images_NCHW) -> logits_NC``, in training mode, on the CPU.

    Args:
        config: ``checkpoint`` is not read here, see ``load_checkpoint``.
        num_classes: Logits per image.
        in_channels: Colour channels of the images.
        seed: Of the initial weights; the global random state is left as it was.
        load_weights: Begin from ``config.weights``. Not needed where all weights are set afterwards.

    Raises:
        InvalidCheckpointError: Pre-trained weights cannot be downloaded.
        InvalidSettingsError: The name is unknown, or a setting has no effect on this network.
        UnsupportedNetworkError: An attention model.
    """
    check_supported(config)
    sizes = {"num_classes": num_classes, "in_channels": in_channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.name in ARCHITECTURES:
            return ARCHITECTURES[config.name](config, **sizes)
        if config.name.startswith(PREFIX):
            return build_torchvision_network(config, **sizes, load_weights=load_weights)
        if config.name.startswith(TIMM_PREFIX):
            return build_timm_network(config, **sizes)
        return build_user_network(config, **sizes)


def needs_training(config: ArchitectureConfig, num_classes: int) -> bool:
    """Tell whether the dense network has to be trained: no checkpoint, and no weights of as many classes.

    Raises:
        InvalidSettingsError: torchvision has no weights of that name.
    """
    if config.checkpoint is not None:
        return False
    return config.weights is None or num_classes_of(weights_of(config)) != num_classes


def check_supported(config: ArchitectureConfig) -> None:
    """Refuse what cannot be built or pruned, by name, before anything is built.

    Raises:
        InvalidSettingsError: The name is unknown, or a setting has no effect on this network.
        UnsupportedNetworkError: An attention model.
    """
    is_torchvision = config.name.startswith(PREFIX)
    if is_torchvision:
        check_torchvision_network(config)
    elif config.name.startswith(TIMM_PREFIX):
        check_timm_network(config)
    elif config.name not in ARCHITECTURES and not is_user_function(config.name):
        raise InvalidSettingsError(
            f"unknown architecture {config.name!r}. Known architectures: {', '.join(ARCHITECTURES)}, "
            f"{PREFIX}NAME, {TIMM_PREFIX}NAME, or your own as module:function."
        )
    if config.weights is not None and not is_torchvision:
        raise InvalidSettingsError(
            f"architecture.weights must be left out for {config.name!r}, which is not torchvision's, but got "
            f"{config.weights!r}; set architecture.checkpoint to a file"
        )
    if config.shortcut != "projection" and config.name not in CIFAR_RESNETS:
        raise InvalidSettingsError(
            f"architecture.shortcut must be left out for {config.name!r}, which is no CIFAR ResNet, but got "
            f"{config.shortcut!r}"
        )
    if config.width != 1.0 and is_user_function(config.name):
        raise InvalidSettingsError(
            f"architecture.width must be left at 1 for {config.name!r}, your own network, but got {config.width:g}"
        )
