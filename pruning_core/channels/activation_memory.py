"""Peak activation memory of one image as a function of the kept counts.

Counted are, at each step of the forward pass in evaluation mode, the floating-point tensors that are alive: made by
then and still to be read, what the step reads and makes included. So a skip connection's map counts until its addition,
the image until its last reader, and the output until the end. Views and in-place results are no tensors of their own;
every number counts 4 bytes. Not counted are parameters, integer tensors, and what a kernel allocates inside.

Every tensor's size is linear in the kept counts, hence so is the sum at each step; the peak is the largest sum.

Shape suffixes used in this file:
    T  steps of the forward pass, without those that can never be the peak
    G  channel groups
    F  channel groups, and last the constant part of a linear form
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.channels.activation_trace import ActivationTrace, TracedTensor, trace_activations
from pruning_core.channels.layer_trace import example_images
from pruning_core.channels.layer_widths import layer_widths
from pruning_core.channels.removal import remove_channels
from pruning_core.channels.resource_costs import Counts, alternatives, counts_beside
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.errors import UnsupportedNetworkError

BYTES_PER_NUMBER = 4
_SHARPNESS = 50.0  # of the smooth maximum: steps 2 % of the peak below it weigh exp(-1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ActivationMemoryCost:
    """Bytes alive at step t: ``slopes_TG`` c + ``fixed_T``; the largest is the cost."""

    slopes_TG: Counts
    fixed_T: Counts

    def cost(self, widths_G: Tensor) -> Tensor:
        """Return the peak, with the gradient of a smooth maximum (logsumexp), so that all steps near it count."""
        live_T = counts_beside(widths_G, self.slopes_TG) @ widths_G
        live_T = live_T + counts_beside(widths_G, self.fixed_T)
        peak = live_T.detach().max()
        sharpness = _SHARPNESS / peak
        smooth = torch.logsumexp(sharpness * (live_T - peak), dim=0) / sharpness
        return peak + (smooth - smooth.detach())  # the value is exact, the gradient smooth

    def exact(self, widths: Sequence[int] | Counts) -> int:
        """Return the peak at whole kept counts."""
        return int(self._live(np.asarray(widths, dtype=np.int64)).max())

    def changes(self, widths_G: Counts, target_G: Counts) -> Counts:
        """Return the change of the peak if one group alone goes to its target."""
        changes_G: Counts = self._live(alternatives(widths_G, target_G)).max(axis=1) - self.exact(widths_G)
        return changes_G

    def relief(self, widths_G: Counts, target_G: Counts, limit: int) -> Counts:
        """Return by how much the excesses of all steps above the limit fall together."""
        before = np.maximum(self._live(widths_G) - limit, 0).sum()
        after_GT = np.maximum(self._live(alternatives(widths_G, target_G)) - limit, 0)
        relief_G: Counts = before - after_GT.sum(axis=1)
        return relief_G

    def _live(self, widths: Counts) -> Counts:
        live: Counts = widths @ self.slopes_TG.T + self.fixed_T
        return live


def activation_memory_cost(
    network: nn.Module, graph: ChannelGraph, input_shape: tuple[int, int, int]
) -> ActivationMemoryCost:
    """Trace a dense network and return its activation memory for any kept counts.

    Raises:
        UnsupportedNetworkError: The size of a tensor does not follow from the widths of the channel groups.
    """
    image_NCHW = example_images(network, input_shape, num_images=1)
    trace = trace_activations(network, image_NCHW)
    forms = _linear_forms(network, graph, trace)
    _check_on_slim_network(network, graph, image_NCHW, trace, forms)
    alive_TF = np.zeros((trace.num_steps + 1, len(graph.groups) + 1), dtype=np.int64)
    for tensor, form_F in zip(trace.tensors, forms, strict=True):
        alive_TF[tensor.first] += form_F
        alive_TF[tensor.last + 1] -= form_F
    alive_TF = _without_dominated(np.cumsum(alive_TF, axis=0)[:-1]) * BYTES_PER_NUMBER
    return ActivationMemoryCost(slopes_TG=alive_TF[:, :-1].copy(), fixed_T=alive_TF[:, -1].copy())


def _linear_forms(network: nn.Module, graph: ChannelGraph, trace: ActivationTrace) -> list[Counts]:
    """Return per tensor its size as a linear form in the kept counts.

    A layer's output has its widths. Any other tensor is a concatenation, or follows the largest tensor it was
    computed from; whether that holds is checked on a slim network.
    """
    names = tuple(dict.fromkeys(tensor.layer for tensor in trace.tensors if tensor.layer is not None))
    outputs = layer_widths(network, graph, names).outputs
    widths = dict(zip(names, zip(outputs.slopes_LG, outputs.fixed_L, strict=True), strict=True))
    dense_F = np.array([*(group.num_channels for group in graph.groups), 1], dtype=np.int64)
    forms: list[Counts] = []
    for tensor in trace.tensors:
        if tensor.layer is not None:
            slopes_G, fixed = widths[tensor.layer]
            form_F = np.append(slopes_G, fixed)
            forms.append(_scaled(form_F, tensor.numel, int(form_F @ dense_F), tensor))
        else:
            forms.append(_derived_form(tensor, trace, forms, len(dense_F)))
    return forms


def _derived_form(
    tensor: TracedTensor, trace: ActivationTrace, forms: Sequence[Counts], length: int
) -> Counts:
    if not tensor.sources:
        constant_F = np.zeros(length, dtype=np.int64)
        constant_F[-1] = tensor.numel
        return constant_F
    if tensor.is_joined:
        parts = [
            _scaled(forms[index], numbers_read, trace.tensors[index].numel, tensor)
            for index, numbers_read in tensor.sources
        ]
        joined_F: Counts = np.sum(parts, axis=0, dtype=np.int64)
        return joined_F
    index, _ = max(tensor.sources, key=lambda source: source[1])
    return _scaled(forms[index], tensor.numel, trace.tensors[index].numel, tensor)


def _scaled(form_F: Counts, to: int, of: int, tensor: TracedTensor) -> Counts:
    """Return a form that gives ``to`` where the form given has ``of``."""
    scaled_F, rest_F = np.divmod(form_F * to, of)
    if rest_F.any():
        raise _not_linear(tensor)
    return scaled_F


def _check_on_slim_network(
    network: nn.Module,
    graph: ChannelGraph,
    image_NCHW: Tensor,
    trace: ActivationTrace,
    forms: Sequence[Counts],
) -> None:
    """Compare the forms with the tensors of a network that really is narrower, each group by another share."""
    widths = [max(1, group.num_channels * (2 + index % 5) // 7) for index, group in enumerate(graph.groups)]
    selection = ChannelSelection(
        kept={group.name: tuple(range(width)) for group, width in zip(graph.groups, widths, strict=True)}
    )
    slim = trace_activations(remove_channels(network, graph, selection), image_NCHW)
    widths_F = np.array([*widths, 1], dtype=np.int64)
    if len(slim.tensors) != len(trace.tensors):
        raise _not_linear(trace.tensors[-1])
    for tensor, found, form_F in zip(trace.tensors, slim.tensors, forms, strict=True):
        if found.numel != int(form_F @ widths_F):
            raise _not_linear(tensor)


def _not_linear(tensor: TracedTensor) -> UnsupportedNetworkError:
    return UnsupportedNetworkError(
        "with a budget on activation memory the size of every tensor must follow from the widths of the channel "
        f"groups, but that of {tensor.operation} at step {tensor.first} does not; take out budgets.activation_memory"
    )


def _without_dominated(alive_TF: Counts) -> Counts:
    """Drop steps at which no kept counts make more alive than at another step."""
    rows_TF = np.unique(alive_TF, axis=0)
    is_dominated_T = [
        bool(((rows_TF >= row_F).all(axis=1) & (rows_TF != row_F).any(axis=1)).any()) for row_F in rows_TF
    ]
    kept_TF: Counts = rows_TF[~np.array(is_dominated_T)]
    return kept_TF
