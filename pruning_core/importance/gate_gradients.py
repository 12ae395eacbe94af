"""How a number of each image would change if a channel's gate closed: one forward and one backward pass.

A gate g multiplies what all consumers of a channel read. At open gates the gradient of an image's number in g is

    d / dg  =  sum over consumers and positions of  activation x gradient

Gates at the consumers count every path out of a residual stream once, and need no rule per layer type.

Shape suffixes used in this file:
    N  images
    C  channels of one group
    P  positions along a layer's input dimension
    K  classes
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.channels.structures import ChannelGraph, Role
from pruning_core.data import iterate_batches, take
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance.protocols import ImportanceContext
from pruning_core.importance.read_points import calibration_images

BATCH_SIZE = 64
Objective = Callable[[Tensor, Tensor], Tensor]
"""Logits ``(N, K)`` and labels ``(N,)`` to the sum of the images' numbers."""
_Placed = list[tuple[str, Tensor]]  # group, and at which positions (C, S) of a layer's input its channels lie


def summed_cross_entropy(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return the sum of the images' cross-entropies."""
    return F.cross_entropy(logits_NK, labels_N, reduction="sum")


def summed_evidence(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return the sum of how far the logit of each image's class lies above the mean of its logits.

    A number that is added to all logits of an image changes no answer, and nothing here.
    """
    own_N = logits_NK.gather(1, labels_N[:, None]).squeeze(1)
    return (own_N - logits_NK.mean(dim=1)).sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientSums:
    """Sums over images of numbers made of gate gradients: per group ``(C,)``, float64 on the CPU."""

    totals: dict[str, Tensor]
    num_images: int

    def mean(self, group: str) -> Tensor:
        """Return the mean over the images, ``(C,)``."""
        return self.totals[group] / self.num_images

    def plus(self, other: Self) -> Self:
        """Return the sums over both sets of images."""
        return type(self)(
            totals={name: total_C + other.totals[name] for name, total_C in self.totals.items()},
            num_images=self.num_images + other.num_images,
        )


def sum_gate_gradients(
    context: ImportanceContext,
    objective: Objective,
    number_of: Callable[[Tensor], Tensor],
    *,
    part: range | None = None,
    batch_size: int = BATCH_SIZE,
) -> GradientSums:
    """Add up a number of each image's gate gradients over calibration images.

    Args:
        context: Network, groups and images.
        objective: What the gradients are of.
        number_of: Gradients ``(N, C)`` to non-negative numbers of the same shape, such as their size.
        part: Consecutive calibration images to look at; None for all.
        batch_size: Images per pass.

    Raises:
        UnsupportedNetworkError: A consumer does not read one row per image.
    """
    images = calibration_images(context)
    if part is not None:
        images = take(images, torch.arange(part.start, part.stop))
    totals = {
        group.name: torch.zeros(group.num_channels, dtype=torch.float64) for group in context.graph.groups
    }
    for batch in iterate_batches(
        images, context.data.normalisation, batch_size=batch_size, device=context.device
    ):
        gradients = gate_gradients(
            context.network, context.graph, batch.images_NCHW, batch.labels_N, objective
        )
        for name, gradient_NC in gradients.items():
            totals[name] += number_of(gradient_NC.double()).sum(dim=0).cpu()
    return GradientSums(totals=totals, num_images=len(images))


def gate_gradients(
    network: nn.Module,
    graph: ChannelGraph,
    images_NCHW: Tensor,
    labels_N: Tensor,
    objective: Objective = summed_cross_entropy,
) -> dict[str, Tensor]:
    """Return per group the gradient ``(N, C)`` of each image's number in the channels' gates, at open gates.

    Summed over images it is the gradient in the gates of ``gate_weights``.

    Raises:
        UnsupportedNetworkError: A consumer does not read one row per image.
    """
    gates = {
        group.name: images_NCHW.new_ones(len(images_NCHW), group.num_channels, requires_grad=True)
        for group in graph.groups
    }
    with torch.enable_grad(), _gated_inputs(network, graph, gates):
        total = objective(network(images_NCHW), labels_N)
    gradients = torch.autograd.grad(total, list(gates.values()))
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
