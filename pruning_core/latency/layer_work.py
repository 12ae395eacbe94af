"""What a layer does apart from how many channels it has: the key that its latency is measured and found under.

Counted are convolutions, linear layers, batch normalisations and PReLUs: the layers whose widths channel removal
changes. Other operations (activations, additions, pooling) are not; ``prunefront latency`` says how much they are.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCall:
    """One run of one layer. ``inputs`` is 1 where the outputs alone decide (normalisation, depthwise convolution).

    ``build`` makes a layer of the same work with other inputs and outputs, ``input_shape`` says what one image gives
    it. ``mixes_channels``: every output reads every input.
    """

    layer: str
    key: str
    inputs: int
    outputs: int
    build: Callable[[int, int], nn.Module]
    input_shape: Callable[[int, int], tuple[int, ...]]
    mixes_channels: bool


def trace_calls(network: nn.Module, images_NCHW: Tensor, parallel: Collection[str] = ()) -> list[LayerCall]:
    """Run a network in evaluation mode and return the runs of its layers in order.

    Args:
        network: Dense or slim.
        images_NCHW: Noise does.
        parallel: Convolutions that are grouped in the dense network: one that kept a single group of its channels
            looks like one that mixes them.
    """
    calls: list[LayerCall] = []

    def record(name: str, module: nn.Module, map_NCHW: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            is_parallel = module.groups > 1 or name in parallel
            calls.append(_convolution(name, module, map_NCHW, is_parallel=is_parallel))
            return
        call = _OTHER_CALLS[type(module)](name, module, map_NCHW)
        if call is not None:
            calls.append(call)

    handles = [
        module.register_forward_hook(lambda module, args, _out, name=name: record(name, module, args[0]))
        for name, module in network.named_modules()
        if type(module) is nn.Conv2d or type(module) in _OTHER_CALLS
    ]
    try:
        with torch.no_grad():
            network(images_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def parallel_convolutions(network: nn.Module) -> frozenset[str]:
    """Return the names of the depthwise and grouped convolutions."""
    return frozenset(
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups > 1
    )


def _convolution(name: str, module: nn.Module, map_NCHW: Tensor, *, is_parallel: bool) -> LayerCall:
    assert isinstance(module, nn.Conv2d)
    sides = tuple(map_NCHW.shape[2:])
    seen, made = module.in_channels // module.groups, module.out_channels // module.groups
    mixes = not is_parallel
    settings = {
        "kernel_size": module.kernel_size,
        "stride": module.stride,
        "padding": module.padding,
        "dilation": module.dilation,
        "padding_mode": module.padding_mode,
    }
    has_bias = module.bias is not None

    def groups_of(outputs: int) -> int:
        return 1 if mixes else max(1, outputs // made)

    def build(inputs: int, outputs: int) -> nn.Module:
        groups = groups_of(outputs)
        if mixes:
            return nn.Conv2d(inputs, outputs, **settings, bias=has_bias)  # type: ignore[arg-type] # typed by torch
        return nn.Conv2d(groups * seen, groups * made, **settings, groups=groups, bias=has_bias)  # type: ignore[arg-type]

    words = [f"{label} {value}" for label, value in settings.items() if label != "padding_mode"]
    parallel = "" if mixes else f" in groups of {seen} to {made}"
    padding = "" if module.padding_mode == "zeros" else f" padded by {module.padding_mode}"
    return LayerCall(
        layer=name,
        key=f"conv {' '.join(words)}{parallel}{padding}{' bias' * has_bias} on {_sides(sides)}",
        inputs=module.in_channels if mixes else 1,
        outputs=module.out_channels,
        build=build,
        input_shape=lambda inputs, outputs: (inputs if mixes else groups_of(outputs) * seen, *sides),
        mixes_channels=mixes,
    )


def _linear(name: str, module: nn.Module, _map: Tensor) -> LayerCall:
    assert isinstance(module, nn.Linear)
    has_bias = module.bias is not None
    return LayerCall(
        layer=name,
        key=f"linear{' bias' * has_bias}",
        inputs=module.in_features,
        outputs=module.out_features,
        build=lambda inputs, outputs: nn.Linear(inputs, outputs, bias=has_bias),
        input_shape=lambda inputs, _outputs: (inputs,),
        mixes_channels=True,
    )


def _normalisation(name: str, module: nn.Module, map_NCHW: Tensor) -> LayerCall:
    assert isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
    sides, kind = tuple(map_NCHW.shape[2:]), type(module)
    return LayerCall(
        layer=name,
        key=f"batch_norm on {_sides(sides)}",
        inputs=1,
        outputs=module.num_features,
        build=lambda _inputs, outputs: kind(outputs),
        input_shape=lambda _inputs, outputs: (outputs, *sides),
        mixes_channels=False,
    )


def _slopes(name: str, module: nn.Module, map_NCHW: Tensor) -> LayerCall | None:
    assert isinstance(module, nn.PReLU)
    if module.num_parameters == 1:
        return None
    sides = tuple(map_NCHW.shape[2:])
    return LayerCall(
        layer=name,
        key=f"prelu on {_sides(sides)}",
        inputs=1,
        outputs=module.num_parameters,
        build=lambda _inputs, outputs: nn.PReLU(outputs),
        input_shape=lambda _inputs, outputs: (outputs, *sides),
        mixes_channels=False,
    )


def _sides(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides)) or "a vector"


_OTHER_CALLS: dict[type[nn.Module], Callable[[str, nn.Module, Tensor], LayerCall | None]] = {
    nn.Linear: _linear,
    nn.BatchNorm1d: _normalisation,
    nn.BatchNorm2d: _normalisation,
    nn.PReLU: _slopes,
}
"""The layers besides convolutions whose time is counted, by exact type."""
