"""How much the loss would change, to first order, if a channel's gate closed.

A gate g multiplies what all consumers of a channel read. At open gates the loss of image n changes by

    -dL_n / dg  =  - sum over consumers and positions of  activation x gradient

when it closes. The score is the mean over images of the absolute value: with the sign kept, images would cancel, and
at a minimum of the loss they do so for every channel.

[Molchanov2017] rate maps one by one and normalise per layer; gates, and scores compared across layers as they
are, come from [Molchanov2019], who square sums over batches. Gates at the consumers count every path out
of a residual stream once, and need no rule per layer type.

Shape suffixes used in this file:
    N  images
    C  channels of one group
    P  positions along a layer's input dimension

References:
    [Molchanov2017] P. Molchanov, S. Tyree, T. Karras, T. Aila, J. Kautz. Pruning Convolutional Neural Networks for
        Resource Efficient Inference. ICLR 2017.
    [Molchanov2019] P. Molchanov, A. Mallya, S. Tyree, I. Frosio, J. Kautz. Importance Estimation for Neural Network
        Pruning. CVPR 2019.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, Role
from pruning_core.data import iterate_batches
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.read_points import calibration_images

BATCH_SIZE = 64
_Placed = list[tuple[str, Tensor]]  # group, and at which positions (C, S) of a layer's input its channels lie


class TaylorImportance:
    """Mean absolute gate gradient over the calibration images, in units of the cross-entropy."""

    def score(self, context: ImportanceContext) -> dict[str, Tensor]:
        """Take one forward and one backward pass over the calibration images.

        Raises:
            UnsupportedNetworkError: A consumer does not read one row per image.
        """
        images = calibration_images(context)
        totals = {
            group.name: torch.zeros(group.num_channels, dtype=torch.float64) for group in context.graph.groups
        }
        for batch in iterate_batches(
            images, context.data.normalisation, batch_size=BATCH_SIZE, device=context.device
        ):
            gradients = gate_gradients(context.network, context.graph, batch.images_NCHW, batch.labels_N)
            for name, gradient_NC in gradients.items():
                totals[name] += gradient_NC.double().abs().sum(dim=0).cpu()
        return {name: total_C / len(images) for name, total_C in totals.items()}


def gate_gradients(
    network: nn.Module, graph: ChannelGraph, images_NCHW: Tensor, labels_N: Tensor
) -> dict[str, Tensor]:
    """Return per group the gradient ``(N, C)`` of each image's cross-entropy in the channels' gates, at open gates.

    Summed over images it is the gradient in the gates of ``gate_weights``.

    Raises:
        UnsupportedNetworkError: A consumer does not read one row per image.
    """
    gates = {
        group.name: images_NCHW.new_ones(len(images_NCHW), group.num_channels, requires_grad=True)
        for group in graph.groups
    }
    with torch.enable_grad(), _gated_inputs(network, graph, gates):
        loss = F.cross_entropy(network(images_NCHW), labels_N, reduction="sum")
    gradients = torch.autograd.grad(loss, list(gates.values()))
    return dict(zip(gates, gradients, strict=True))


@contextmanager
def _gated_inputs(network: nn.Module, graph: ChannelGraph, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply what consumers read by one gate per image and channel."""
    placed: dict[str, _Placed] = defaultdict(list)
    for group in graph.groups:
        for use in group.uses:
            if use.role is Role.CONSUMES:
                placed[use.layer].append((group.name, torch.tensor(use.positions)))
    with ExitStack() as hooks:
        for layer, groups in placed.items():
            hook = _gating_hook(layer, groups, gates)
            hooks.callback(network.get_submodule(layer).register_forward_pre_hook(hook).remove)
        yield


def _gating_hook(
    layer: str, placed: Sequence[tuple[str, Tensor]], gates: Mapping[str, Tensor]
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs: Tensor = args[0]
        dim = -1 if isinstance(module, nn.Linear) else 1
        num_images = len(next(iter(gates.values())))
        if len(inputs) != num_images:
            raise UnsupportedNetworkError(
                f"layer {layer!r} must read one row per image to be rated by gradients, but reads {len(inputs)} rows "
                f"for {num_images} images; choose another method, such as group_norm"
            )
        scale_NP = torch.ones(num_images, inputs.shape[dim], dtype=inputs.dtype, device=inputs.device)
        for name, positions_CS in placed:
            spread_NP = gates[name].repeat_interleave(positions_CS.shape[1], dim=1)
            scale_NP = scale_NP.index_copy(1, positions_CS.flatten().to(inputs.device), spread_NP)
        shape = [num_images, *[1] * (inputs.ndim - 1)]
        shape[dim] = inputs.shape[dim]
        return (inputs * scale_NP.view(shape), *args[1:])

    return hook


if TYPE_CHECKING:
    _: FilterImportance = TaylorImportance()
