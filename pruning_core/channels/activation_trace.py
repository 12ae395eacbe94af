"""Which tensors a forward pass makes, from which others, and when each is read last.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning_core.channels.layer_shapes import layer_shape


@dataclass(kw_only=True, slots=True)
class TracedTensor:
    """A floating-point tensor of the forward pass; views of it and in-place results are the same tensor.

    ``first`` and ``last``: steps at which it is made and read last. ``layer``: that gave it, if it can be sliced.
    ``sources``: tensors it was computed from, as (index, numbers read). ``is_joined``: it is their concatenation.
    """

    numel: int
    first: int
    last: int
    operation: str
    sources: tuple[tuple[int, int], ...] = ()
    is_joined: bool = False
    layer: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationTrace:
    """All tensors of one forward pass of one image in the order they are made, the image first."""

    tensors: tuple[TracedTensor, ...]
    num_steps: int


@torch.no_grad()
def trace_activations(network: nn.Module, image_NCHW: Tensor) -> ActivationTrace:
    """Run a copy of a network on one image in evaluation mode; in-place operations stay in place."""
    duplicate = copy.deepcopy(network).cpu().eval()
    recorder = _Recorder(image_NCHW)
    handles = [
        module.register_forward_hook(
            lambda _module, _args, output, name=name: recorder.name_layer(name, output)
        )
        for name, module in duplicate.named_modules()
        if layer_shape(module) is not None
    ]
    try:
        with recorder:
            output = duplicate(image_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    recorder.keep_to_the_end(output)
    return ActivationTrace(tensors=tuple(recorder.tensors), num_steps=recorder.num_steps)


@dataclass(eq=False)
class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call] # untyped in torch
    """Writes down every operation that makes or reads a floating-point tensor of the pass."""

    image_NCHW: Tensor
    tensors: list[TracedTensor] = field(default_factory=list)
    num_steps: int = 0

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._index_of: dict[int, int] = {}
        self._held: list[Tensor] = []  # so that no address is given twice
        self._add(self.image_NCHW, "the image", ())

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        inputs = list(_tensors((args, kwargs)))
        reads = [
            (self._index_of[_storage(tensor)], tensor.numel()) for tensor in inputs if self._knows(tensor)
        ]
        parameters = {_storage(tensor) for tensor in inputs if not self._knows(tensor)}
        made = [
            tensor
            for tensor in _tensors(result)
            if tensor.numel() > 0 and not self._knows(tensor) and _storage(tensor) not in parameters
        ]
        if reads or made:
            for index, _ in reads:
                self.tensors[index].last = self.num_steps
            for tensor in made:
                self._add(tensor, str(operation), tuple(reads))
            self.num_steps += 1
        return result

    def name_layer(self, name: str, output: Tensor) -> None:
        """Note which layer gave a tensor."""
        if self._knows(output):
            self.tensors[self._index_of[_storage(output)]].layer = name

    def keep_to_the_end(self, output: Tensor) -> None:
        """Count what the network returns until the last step."""
        for tensor in _tensors(output):
            if self._knows(tensor):
                self.tensors[self._index_of[_storage(tensor)]].last = self.num_steps - 1

    def _knows(self, tensor: Tensor) -> bool:
        return _storage(tensor) in self._index_of

    def _add(self, tensor: Tensor, operation: str, reads: tuple[tuple[int, int], ...]) -> None:
        self._index_of[_storage(tensor)] = len(self.tensors)
        self._held.append(tensor)
        self.tensors.append(
            TracedTensor(
                numel=tensor.numel(),
                first=self.num_steps,
                last=self.num_steps,
                operation=operation,
                sources=reads,
                is_joined=operation.startswith("aten.cat."),
            )
        )


def _tensors(values: object) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.dtype.is_floating_point)


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
