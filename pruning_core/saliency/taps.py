"""Find the maps of a network that a saliency decoder reads.

A tap is the last map of a spatial size that the network passes on before global pooling: of a ResNet the output
of each stage, of MobileNetV2 the block output before each stride, not the wide map inside the next block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.errors import InvalidSettingsError, UnsupportedNetworkError
from pruning_core.saliency.freezing import frozen_copy

MAX_TAPS = 4
_SMALLEST_SIDE = 2  # a 1 x 1 map has no place in it
_GLOBAL_POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tap:
    """A module whose output map a decoder reads: its name, channels, and (height, width) in pixels."""

    layer: str
    num_channels: int
    size: tuple[int, int]


def find_taps(
    network: nn.Module, input_shape: tuple[int, int, int], override: Sequence[str] = ()
) -> tuple[Tap, ...]:
    """Return the maps to read, largest first: by default the last of each of the four smallest sizes.

    Args:
        network: Run once on an image of zeros; left as it was.
        input_shape: (channels, height, width) of one image.
        override: Names of the modules to tap instead.

    Raises:
        InvalidSettingsError: A name of ``override`` is no module with one map per image, or comes twice.
        UnsupportedNetworkError: There is no map of at least 2 x 2 pixels.
    """
    trace = _trace_maps(network, input_shape)
    passed_on = _passed_on(network, trace)
    if override:
        return _named_taps(override, trace, passed_on)
    last_of_size = {tap.size: tap for tap in passed_on}
    if not last_of_size:
        raise UnsupportedNetworkError(
            f"the network must pass on a map of at least 2x2 pixels, but has none for images of shape {input_shape}; "
            "use larger images"
        )
    return _largest_first(last_of_size.values())[-MAX_TAPS:]


def _largest_first(taps: Iterable[Tap]) -> tuple[Tap, ...]:
    return tuple(sorted(taps, key=lambda tap: -tap.size[0] * tap.size[1]))


def _named_taps(names: Sequence[str], trace: Sequence[Tap], passed_on: Sequence[Tap]) -> tuple[Tap, ...]:
    known = {tap.layer: tap for tap in trace}
    for name in names:
        if name not in known or names.count(name) > 1:
            candidates = ", ".join(f"{tap.layer} ({tap.size[0]}x{tap.size[1]})" for tap in passed_on)
            raise InvalidSettingsError(
                f"saliency.taps must name different modules that give one map each, but got {name!r}. "
                f"Candidates: {candidates or 'none'}."
            )
    return _largest_first([known[name] for name in names])


@torch.no_grad()
def _trace_maps(network: nn.Module, input_shape: tuple[int, int, int]) -> list[Tap]:
    """Run the network once; return the maps of at least 2 x 2 pixels in the order they were finished.

    Modules called more than once are left out: their name does not say which map is meant.
    """
    finished: list[Tap] = []
    calls: Counter[str] = Counter()

    def record(name: str, output: object) -> None:
        calls[name] += 1
        if isinstance(output, Tensor) and output.ndim == 4:
            height, width = output.shape[-2:]
            finished.append(Tap(layer=name, num_channels=output.shape[1], size=(height, width)))

    first = next(network.parameters(), torch.empty(0))
    traced = frozen_copy(network, first.device)  # so that no hook stays behind on the caller's
    for name, module in traced.named_modules():
        if name:
            module.register_forward_hook(lambda _module, _args, output, name=name: record(name, output))
    traced(torch.zeros(1, *input_shape, device=first.device, dtype=first.dtype))
    return [tap for tap in finished if calls[tap.layer] == 1]


def _passed_on(network: nn.Module, trace: Sequence[Tap]) -> list[Tap]:
    """Keep the maps outside blocks, up to global pooling or the first map too small to have places."""
    blocks = {name for name, module in network.named_modules() if name and _is_block(name, module, trace)}
    kept: list[Tap] = []
    for tap in trace:
        parts = tap.layer.split(".")
        if any(".".join(parts[:depth]) in blocks for depth in range(1, len(parts))):
            continue
        if min(tap.size) < _SMALLEST_SIDE or isinstance(network.get_submodule(tap.layer), _GLOBAL_POOLING):
            break
        kept.append(tap)
    return kept


def _is_block(name: str, module: nn.Module, trace: Sequence[Tap]) -> bool:
    """Tell whether a module's inside is its own affair.

    Containers pass the output of each child on. Of other modules those with three or more sizes inside are
    backbones within the network: a block changes the size at most once.
    """
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    inside = {
        tap.size for tap in trace if tap.layer.startswith(f"{name}.") and min(tap.size) >= _SMALLEST_SIDE
    }
    return len(inside) < 3
