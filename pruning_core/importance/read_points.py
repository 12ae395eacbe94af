"""Where the layers behind a group read its channels, and how the whole calibration set is shown to them.

A channel matters through what its consumers read, so class correlation and information flow are measured on the
inputs of the consumers: behind normalisation, activation, pooling and addition.

Shape suffixes used in this file:
    C  channels of the group
    S  positions of one channel along the input dimension of the consumer (1, or H*W behind a flatten)
    N  images
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.channels.structures import ChannelUse, Role
from pruning_core.data import LabelledImages, iterate_batches, stratified_subset, take
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance.protocols import ImportanceContext

BATCH_SIZE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPoint:
    """One consumer of one group.

    ``positions_CS``: where the channels lie along the consumer's input dimension. ``source``: equal for consumers
    that read the very same tensor. ``norm``: the batch normalisation that the consumer's output goes straight
    into, if any.
    """

    group: str
    layer: str
    positions_CS: Tensor
    source: int
    norm: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkReads:
    """All read points in the order of the forward pass, and the first convolution (or linear layer)."""

    points: tuple[ReadPoint, ...]
    first_layer: str

    def of_group(self, group: str) -> tuple[ReadPoint, ...]:
        """Return the read points of a group."""
        return tuple(point for point in self.points if point.group == group)


class ReadObserver(Protocol):
    """Told of every input that a layer reads during the calibration pass."""

    def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:
        """Look at one batch; ``first_image`` is the number of calibration images before it."""


def find_read_points(context: ImportanceContext) -> NetworkReads:
    """Run one blank image through the network and see which layer reads what.

    Raises:
        UnsupportedNetworkError: A consumer runs several times, never, or is neither Conv2d nor Linear; or a group
            has no consumer.
    """
    trace = _trace(context.network, context.data.input_shape, context.device)
    points = [
        _read_point(context.network, group.name, use, trace)
        for group in context.graph.groups
        for use in group.uses
        if use.role is Role.CONSUMES
    ]
    unread = {group.name for group in context.graph.groups} - {point.group for point in points}
    if unread:
        raise UnsupportedNetworkError(
            f"each group must be read by a convolution or linear layer, but {sorted(unread)[0]!r} is not"
        )
    points.sort(key=lambda point: trace.order[point.layer])
    return NetworkReads(points=tuple(points), first_layer=next(iter(trace.order)))


def calibration_images(context: ImportanceContext) -> LabelledImages:
    """Return the stratified training images that importance is measured on.

    In random order, so that every stretch of them holds a mixture of classes, however the data set is sorted.
    """
    count = min(context.settings.num_images, len(context.data.train))
    images = stratified_subset(context.data.train, count, context.seed)
    order_N = torch.randperm(count, generator=torch.Generator().manual_seed(context.seed))
    return take(images, order_N)


def stream_reads(
    context: ImportanceContext,
    observers: Mapping[str, Sequence[ReadObserver]],
    *,
    part: range | None = None,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Show calibration images to the network once; observers by layer see what that layer reads.

    Args:
        context: The network and the images.
        observers: Told of every batch.
        part: Consecutive calibration images to show; None for all.
        batch_size: Images per forward pass.
    """
    images = calibration_images(context)
    shown = range(len(images)) if part is None else part
    moment = _Moment(first_image=shown.start)

    def hook_for(layer_observers: Sequence[ReadObserver]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            for observer in layer_observers:
                observer.observe(as_maps(module, args[0]), moment.labels_N, moment.first_image)

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for layer, layer_observers in observers.items():
            handle = context.network.get_submodule(layer).register_forward_pre_hook(hook_for(layer_observers))
            hooks.callback(handle.remove)
        for batch in iterate_batches(
            take(images, torch.arange(shown.start, shown.stop)),
            context.data.normalisation,
            batch_size=batch_size,
            device=context.device,
        ):
            moment.labels_N = batch.labels_N
            context.network(batch.images_NCHW)
            moment.first_image += len(batch.labels_N)


def channel_responses(inputs: Tensor, positions_CS: Tensor) -> Tensor:
    """Pick a group's channels out of what a consumer reads, as maps.

    Args:
        inputs: ``(N, channels, H, W)`` of a convolution or ``(N, features)`` of a linear layer.
        positions_CS: Where the channels lie along dimension 1.

    Returns:
        ``(N, C, maps, H, W)``: behind a flatten one map per channel, a square one if S is a square number,
        otherwise S maps of what the convolution reads.
    """
    num_channels, num_positions = positions_CS.shape
    picked = inputs[:, positions_CS.flatten().to(inputs.device)]
    if inputs.ndim == 4:
        return picked.reshape(len(inputs), num_channels, num_positions, *inputs.shape[2:])
    side = round(num_positions**0.5)
    height = side if side * side == num_positions else 1
    return picked.reshape(len(inputs), num_channels, 1, height, num_positions // height)


def as_maps(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Put channels second: a linear layer on maps (as in ConvNeXt) reads them last."""
    return inputs.movedim(-1, 1) if isinstance(layer, nn.Linear) else inputs


@dataclass(slots=True)
class _Moment:
    """Which part of the calibration set the hooks are looking at."""

    labels_N: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    first_image: int = 0


@dataclass(slots=True)
class _Trace:
    """Layers in the order they ran, with what they read and wrote. Holding the tensors keeps them distinct."""

    order: dict[str, int] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    read: dict[str, Tensor] = field(default_factory=dict)
    wrote: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[int, str] = field(default_factory=dict)  # by identity of the tensor it reads

    def source_of(self, layer: str) -> int:
        """Number the tensor that a layer reads by the first layer that reads it."""
        return min(self.order[other] for other in self.order if self.read[other] is self.read[layer])


def _trace(network: nn.Module, input_shape: tuple[int, int, int], device: str) -> _Trace:
    trace = _Trace()

    def hook_for(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if name in trace.read:
                trace.repeated.add(name)
            trace.read.setdefault(name, args[0])
            if isinstance(module, _BatchNorm):
                trace.norms[id(args[0])] = name
            else:
                trace.order.setdefault(name, len(trace.order))
                trace.wrote[name] = output

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, _BatchNorm)):
                hooks.callback(module.register_forward_hook(hook_for(name)).remove)
        network(torch.zeros(1, *input_shape, device=device))
    return trace


def _read_point(network: nn.Module, group: str, use: ChannelUse, trace: _Trace) -> ReadPoint:
    layer = network.get_submodule(use.layer)
    if not isinstance(layer, (nn.Conv2d, nn.Linear)):
        raise UnsupportedNetworkError(
            f"group {group!r} must be read by Conv2d and Linear layers, but {use.layer!r} is a "
            f"{type(layer).__name__}"
        )
    if use.layer not in trace.read or use.layer in trace.repeated:
        times = "several times" if use.layer in trace.repeated else "never"
        raise UnsupportedNetworkError(
            f"layer {use.layer!r} must run once per image for its information flow to be measured, "
            f"but it runs {times}"
        )
    if trace.read[use.layer].ndim not in ((4,) if isinstance(layer, nn.Conv2d) else (2, 4)):
        raise UnsupportedNetworkError(
            f"layer {use.layer!r} must read a batch of maps{'' if isinstance(layer, nn.Conv2d) else ' or vectors'}, "
            f"but reads a tensor of {trace.read[use.layer].ndim} dimensions"
        )
    if len({len(positions) for positions in use.positions}) != 1:
        raise UnsupportedNetworkError(
            f"layer {use.layer!r} must read every channel of group {group!r} at equally many positions"
        )
    return ReadPoint(
        group=group,
        layer=use.layer,
        positions_CS=torch.tensor(use.positions, dtype=torch.int64),
        source=trace.source_of(use.layer),
        norm=trace.norms.get(id(trace.wrote[use.layer])),
    )
