"""A network with a small convolution on each tapped map, so that a tracer sees who reads the map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.errors import InvalidSettingsError

_OVER_CHANNELS = (nn.GroupNorm, nn.LayerNorm)


def tap_name(tap: str) -> str:
    """Name the reader of a tap among the layers of a network (no module can have this name)."""
    return f"tap of {tap}"


class TappedNetwork(nn.Module):
    """Gives the network's output and one 1x1 convolution of each tapped map."""

    def __init__(self, network: nn.Module, taps: Sequence[str], images_NCHW: Tensor) -> None:
        super().__init__()
        self.network = network
        self.taps = tuple(taps)
        self.widths = self._widths_of_maps(images_NCHW)
        self.readers = nn.ModuleList([nn.Conv2d(width, 1, 1) for width in self.widths.values()])
        self.readers.to(images_NCHW.dtype)
        self.names = {module: name for name, module in self.named_modules()}

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the network's output, then what each reader makes of its map."""
        output, maps = read_maps(self.network, self.taps, images_NCHW)
        return [output, *(reader(maps[tap]) for tap, reader in zip(self.taps, self.readers, strict=True))]

    def laterals(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield each tap with the convolution that reads it."""
        yield from zip(self.taps, self.readers, strict=True)

    def is_lateral(self, module: nn.Module) -> bool:
        """Tell whether a module reads a tap."""
        return any(module is reader for reader in self.readers)

    def parameter_name(self, parameter: nn.Parameter) -> str:
        """Return a parameter's name within the network."""
        return next(name for name, other in self.network.named_parameters() if other is parameter)

    def objection_to_layer(self, module: nn.Module) -> str | None:
        """Say why channels that reach a layer must stay: it cannot be sliced, or its weight is computed."""
        name, kind = self.names[module].removeprefix("network."), type(module).__name__
        if layer_shape(module) is None:
            single = isinstance(module, nn.PReLU)  # one slope for all channels: nothing to slice
            if single:
                return None
            across = " exactly: it normalises over channels" if isinstance(module, _OVER_CHANNELS) else ""
            return f"its channels meet {name!r}, a {kind} that cannot be sliced{across}"
        computed = [key for key in ("weight", "bias") if not _is_plain(getattr(module, key, None))]
        return f"its channels meet {name!r}, whose {computed[0]} is computed" if computed else None

    @torch.no_grad()
    def _widths_of_maps(self, images_NCHW: Tensor) -> dict[str, int]:
        known = dict(self.network.named_modules())
        for tap in self.taps:
            if tap not in known or self.taps.count(tap) > 1:
                raise InvalidSettingsError(f"saliency.taps must name different modules, but got {tap!r}")
        _, maps = read_maps(self.network, self.taps, images_NCHW)
        for tap in self.taps:
            found = maps.get(tap)
            if not isinstance(found, Tensor) or found.ndim != 4:
                raise InvalidSettingsError(
                    f"saliency.taps must name modules that give one map (N, C, H, W), but {tap!r} does not"
                )
        return {tap: maps[tap].shape[1] for tap in self.taps}


def read_maps(
    network: nn.Module, taps: Sequence[str], images_NCHW: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a network; return its output and the last output of each tapped module."""
    maps: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(tap).register_forward_hook(
            lambda _module, _args, output, tap=tap: maps.update({tap: output})
        )
        for tap in taps
    ]
    try:
        return network(images_NCHW), maps
    finally:
        for handle in handles:
            handle.remove()


def _is_plain(parameter: object) -> bool:
    return parameter is None or isinstance(parameter, nn.Parameter)
