"""Classifiers of timm, an optional extra: ``timm:NAME``, untrained or with a checkpoint."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from types import ModuleType

from torch import nn

from pruning_core.architectures.attention import refuse_attention
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidSettingsError

PREFIX = "timm:"


def check_timm_network(config: ArchitectureConfig) -> None:
    """Refuse what cannot be built, before anything is built.

    Raises:
        InvalidSettingsError: timm is not installed, has no such network, or the width has no effect.
    """
    known, short = _timm().list_models(), config.name.removeprefix(PREFIX)
    if short not in known:
        similar = ", ".join(difflib.get_close_matches(short, known, n=5, cutoff=0.5)) or ", ".join(known[:5])
        raise InvalidSettingsError(
            f"unknown timm network {short!r}. Its {len(known)} classifiers include: {similar}."
        )
    if config.width != 1.0:
        raise InvalidSettingsError(
            f"architecture.width must be left at 1 for {config.name!r}, whose widths are fixed, but got "
            f"{config.width:g}"
        )


def build_timm_network(config: ArchitectureConfig, *, num_classes: int, in_channels: int) -> nn.Module:
    """Build ``timm:NAME`` without weights; the settings have been checked.

    Raises:
        UnsupportedNetworkError: An attention model.
    """
    network = _timm().create_model(
        config.name.removeprefix(PREFIX), pretrained=False, num_classes=num_classes, in_chans=in_channels
    )
    assert isinstance(network, nn.Module)
    refuse_attention(network, config.name)
    return network


def _timm() -> ModuleType:
    """Import timm where it is needed: it is optional."""
    if importlib.util.find_spec("timm") is None:
        raise InvalidSettingsError(
            "timm must be installed for architecture.name timm:NAME, but is not; pip install 'prunefront[timm]'"
        )
    return importlib.import_module("timm")
