"""Count what a network costs by running it, independently of the cost model.

Convention: ``macs`` are the multiply-accumulates of one image through all convolutions and linear layers (matrix
products); normalisation, activation, pooling and biases are not in them. ``params`` are all parameters.
``activation_memory`` is what `pruning_core.channels.activation_memory` says it counts.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.budgets import Resource
from pruning_core.channels.layer_trace import evaluation_copy, example_images


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one network costs: multiply-accumulates of one image, and number of parameters.

    ``activation_memory`` in bytes, ``latency_ns`` by a table and ``block_macs`` are None where they were not asked for.
    """

    macs: int
    params: int
    activation_memory: int | None = None
    latency_ns: int | None = None
    block_macs: int | None = None

    def __getitem__(self, resource: Resource) -> int:
        amount: int | None = getattr(self, _FIELDS[resource])
        assert amount is not None, f"{resource} was not asked for"
        return amount

    @classmethod
    def of(cls, amounts: Mapping[Resource, int]) -> Cost:
        """Build a cost from amounts by resource, MACs and params among them."""
        return cls(**{_FIELDS[resource]: amount for resource, amount in amounts.items()})


_FIELDS = {
    Resource.MACS: "macs",
    Resource.PARAMS: "params",
    Resource.ACTIVATION_MEMORY: "activation_memory",
    Resource.LATENCY: "latency_ns",
    Resource.BLOCK_MACS: "block_macs",
}


@torch.no_grad()
def count_cost(network: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """Count a network's MACs and params for one image; the network stays as it is."""
    duplicate = evaluation_copy(network)
    counter = FlopCounterMode(display=False)
    with counter:
        duplicate(example_images(duplicate, input_shape, num_images=1))
    return Cost(
        macs=counter.get_total_flops() // 2,  # it counts a multiply-accumulate as two
        params=sum(parameter.numel() for parameter in network.parameters()),
    )


@torch.no_grad()
def count_activation_memory(network: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Count the peak bytes of one image's tensors as an allocator would that frees each after its last use."""
    duplicate = copy.deepcopy(network).cpu().eval()
    image_NCHW = example_images(duplicate, input_shape, num_images=1)
    with _AllocationLog(image_NCHW) as log:
        output = duplicate(image_NCHW)
    uses_left = Counter(storage for used in log.uses for storage in used)
    uses_left[_storage(output)] += 1  # the caller's
    alive = peak = 0
    for made, used in zip(log.allocations, log.uses, strict=True):
        alive += sum(made.values())
        peak = max(peak, alive)
        for storage in used:
            uses_left[storage] -= 1
            if uses_left[storage] == 0:
                alive -= log.num_bytes[storage]
    return peak


class _AllocationLog(TorchDispatchMode):  # type: ignore[no-untyped-call] # untyped in torch
    """Per operation the storages it allocates, with their bytes, and those it uses, its own results included."""

    def __init__(self, image_NCHW: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_bytes: dict[int, int] = {}
        self.allocations: list[dict[int, int]] = []
        self.uses: list[set[int]] = []
        self._held: list[Tensor] = []  # so that no address is given twice
        self._log([image_NCHW], set())

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        given = [tensor for tensor in tree_leaves((args, kwargs)) if _is_float(tensor)]
        outside = {_storage(tensor) for tensor in given} - self.num_bytes.keys()  # parameters
        made = [
            tensor
            for tensor in tree_leaves(result)
            if _is_float(tensor) and _storage(tensor) not in outside | self.num_bytes.keys()
        ]
        self._log(made, {_storage(tensor) for tensor in [*given, *made]} - outside)
        return result

    def _log(self, made: Sequence[Tensor], used: set[int]) -> None:
        allocated = {_storage(tensor): 4 * tensor.numel() for tensor in made}
        self._held.extend(made)
        self.num_bytes |= allocated
        self.allocations.append(allocated)
        self.uses.append(used)


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype.is_floating_point


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
