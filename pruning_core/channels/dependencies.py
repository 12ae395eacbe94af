"""Ask torch_pruning which layers and operations the output channels of each layer reach.

What it answers is only as good as what it knows of an operation: ``operations.py`` judges each one, and what is not
known to keep channels apart becomes an objection.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
import torch_pruning
from torch import Tensor, nn
from torch_pruning.dependency import Node
from torch_pruning.ops import OPTYPE

from pruning_core.channels.layer_shapes import LayerShape, layer_shape
from pruning_core.channels.operations import is_addition, objection
from pruning_core.channels.position_links import Side
from pruning_core.channels.tapping import TappedNetwork
from pruning_core.errors import UnsupportedNetworkError


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependent:
    """One thing that hangs together with a layer's output channels: a layer's end, or an operation.

    ``positions[i]`` belongs to output channel ``sources[i]`` of the layer ``root``. ``objection``: why these channels
    must stay. ``adds_layers``: it adds up maps of different layers (a residual stream).
    """

    root: str
    module: nn.Module
    side: Side
    positions: tuple[int, ...]
    sources: tuple[int, ...]
    objection: str | None
    adds_layers: bool = False


def find_dependents(
    tapped: TappedNetwork,
    images_NCHW: Tensor,
    shapes: Mapping[str, LayerShape],
    is_known: Callable[[str], bool],
) -> Iterator[Dependent]:
    """Yield what hangs together with the output channels of every convolution and linear layer, objections first.

    Args:
        tapped: The network with a reader on each tap; autograd must be on.
        images_NCHW: What to trace it with.
        shapes: The layers that can be sliced, by name, in forward order.
        is_known: Tells of a layer whether what was yielded so far covers it, so that asking adds nothing.

    Raises:
        UnsupportedNetworkError: torch_pruning cannot trace the network.
    """
    with _tracing(), _linear_layers_as_one_step(tapped.network):
        graph = _Dependencies().build_dependency(
            tapped, images_NCHW, forward_fn=lambda model, images: model(images), verbose=False
        )
        additions = _Additions()
        for name, shape in shapes.items():
            if shape.weighs_inputs and not is_known(name):
                found = list(_dependents_of(graph, tapped, name, shape, additions))
                yield from sorted(found, key=lambda dependent: dependent.objection is None)


_WITH_INDEX_ARITHMETIC = (
    OPTYPE.CONCAT,
    OPTYPE.EXPAND,
    OPTYPE.RESHAPE,
    OPTYPE.SLICE,
    OPTYPE.SPLIT,
    OPTYPE.UNBIND,
)


class _Dependencies(torch_pruning.DependencyGraph):  # type: ignore[misc]  # torch_pruning is untyped
    """Works out no positions behind operations whose channels stay anyway: a channel shuffle makes it fail."""

    def _trace(self, *args: Any, **kwargs: Any) -> dict[nn.Module, Node]:
        nodes: dict[nn.Module, Node] = super()._trace(*args, **kwargs)
        for node in nodes.values():
            if node.type in _WITH_INDEX_ARITHMETIC and objection(node.grad_fn) is not None:
                node.type = OPTYPE.ELEMENTWISE
        return nodes


class _LinearStep(torch.autograd.Function):
    """A linear layer as one step of the graph that autograd records; on maps it would be a reshape and a product."""

    @staticmethod
    def forward(ctx: object, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG004
        return F.linear(inputs, weight, bias)


def _run_as_one_step(layer: nn.Linear, inputs: Tensor) -> Tensor:
    output: Tensor = _LinearStep.apply(inputs, layer.weight, layer.bias)
    return output


@contextmanager
def _linear_layers_as_one_step(network: nn.Module) -> Iterator[None]:
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward
    ]
    for layer in layers:
        layer.forward = partial(_run_as_one_step, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def _tracing() -> Iterator[None]:
    """Turn whatever torch_pruning stumbles over, warnings too, into our error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            yield
        except UnsupportedNetworkError:
            raise
        except (
            ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, Warning
        ) as error:  # fmt: skip
            raise UnsupportedNetworkError(
                "the dependencies between the network's layers must be traceable by torch_pruning, but it failed with "
                f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            ) from error


def _dependents_of(
    graph: torch_pruning.DependencyGraph,
    tapped: TappedNetwork,
    name: str,
    shape: LayerShape,
    additions: _Additions,
) -> Iterator[Dependent]:
    module = tapped.network.get_submodule(name)
    every = tuple(range(shape.out_width))
    if module not in graph.module2node:
        yield Dependent(
            root=name, module=module, side=Side.OUT, positions=every, sources=every,
            objection="its output does not reach the network's output",
        )  # fmt: skip
        return
    pruner = graph.get_pruner_of_module(module)
    for item in graph.get_pruning_group(module, pruner.prune_out_channels, list(every)):
        handles_outputs = graph.is_out_channel_pruning_fn(item.dep.handler)
        yield Dependent(
            root=name,
            module=item.dep.target.module,
            side=Side.OUT if handles_outputs else Side.IN,
            positions=tuple(item.idxs),
            sources=tuple(item.root_idxs),
            objection=_objection(item.dep.target, tapped, ends_here=handles_outputs),
            adds_layers=additions.adds_layers(item.dep.target),
        )


def _objection(node: Node, tapped: TappedNetwork, *, ends_here: bool) -> str | None:
    """Say what speaks against removing channels that reach a node of torch_pruning's graph."""
    if node.type == OPTYPE.PARAMETER:
        return (
            f"its channels meet {tapped.parameter_name(node.module)!r}, a parameter outside the known layers"
        )
    in_layer = node.module in tapped.names
    is_last = in_layer and ends_here and not node.outputs and not tapped.is_lateral(node.module)
    if is_last or node.type == OPTYPE.OUTPUT:
        return "its channels are the network's output"
    if in_layer:
        return tapped.objection_to_layer(node.module)
    if not node.inputs:
        return None  # a layer's own weight, transposed or reshaped: no map passes through it
    if not hasattr(node.grad_fn, "name"):
        return "its channels pass through an unknown operation"
    return objection(node.grad_fn)


class _Additions:
    """Tells which nodes of one graph add up maps that come from different layers, and remembers it.

    ``x + f(x)`` with an elementwise ``f`` does not: both sides come from the same layer, and no stream forms.
    """

    def __init__(self) -> None:
        self._known: dict[Node, bool] = {}

    def adds_layers(self, node: Node) -> bool:
        if node not in self._known:
            self._known[node] = self._look(node)
        return self._known[node]

    def _look(self, node: Node) -> bool:
        if len(node.inputs) < 2 or not hasattr(node.grad_fn, "name") or not is_addition(node.grad_fn):
            return False
        seen: set[Node] = set()
        for operand in node.inputs:
            producers = _producers(operand)
            if seen and producers and not seen & producers:
                return True
            seen |= producers
        return False


def _producers(node: Node) -> set[Node]:
    """Return the layers that made the channels of a node's output: those next before it that mix channels."""
    found: set[Node] = set()
    visited = {node}
    waiting = [node]
    while waiting:
        current = waiting.pop()
        shape = layer_shape(current.module) if isinstance(current.module, nn.Module) else None
        if shape is not None and shape.mixes_channels:
            found.add(current)
            continue
        before = [other for other in current.inputs if other not in visited]
        visited.update(before)
        waiting += before
    return found
