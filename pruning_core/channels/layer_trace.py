"""Run a copy of a network once and write down what its layers did; the caller's network is never touched."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.channels.layer_shapes import layer_shape
from pruning_core.errors import UnsupportedNetworkError

EXAMPLE_SEED = 0
_UNSTEADY = 1e-2  # relative difference of logits; rounding is far below, dropout far above


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerTrace:
    """The layers that can be sliced, in the order of the forward pass.

    ``places``: how many output places a layer computes per image (pixels, summed over its calls);
    ``repeated``: layers that run several times per image, or share a parameter with another layer.
    """

    places: Mapping[str, int]
    repeated: frozenset[str]


def evaluation_copy(network: nn.Module) -> nn.Module:
    """Return a copy on the CPU in evaluation mode that works out of place and whose parameters take gradients.

    Raises:
        UnsupportedNetworkError: The network cannot be copied.
    """
    try:
        duplicate = copy.deepcopy(network)
    except RuntimeError as error:  # torch refuses to copy what is no parameter and has a gradient
        raise UnsupportedNetworkError(
            f"the network must be one that can be copied, but: {_first_line(error)}; weights that are computed from "
            "others must be parametrizations (torch.nn.utils.parametrizations)"
        ) from error
    duplicate.cpu().eval().requires_grad_(requires_grad=True)
    for module in duplicate.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment] # activations and dropout carry the flag
    return duplicate


def example_images(network: nn.Module, input_shape: tuple[int, int, int], *, num_images: int = 2) -> Tensor:
    """Return seeded noise in the network's number format (two images: a batch of 1 hides mistakes)."""
    generator = torch.Generator().manual_seed(EXAMPLE_SEED)
    first = next(network.parameters(), torch.empty(0))
    return torch.randn((num_images, *input_shape), generator=generator).to(first.dtype)


@torch.no_grad()
def trace_layers(duplicate: nn.Module, input_shape: tuple[int, int, int]) -> LayerTrace:
    """Run an evaluation copy once.

    Raises:
        UnsupportedNetworkError: The network cannot run on such images, a linear layer works on tokens (attention),
            a layer is never used, or the layers that run or the answer depend on anything but the image.
    """
    images_NCHW = example_images(duplicate, input_shape, num_images=1)
    trace, negated, pair = _Run(), _Run(), _Run()
    logits_NC = trace.watch(duplicate, images_NCHW, input_shape)
    _refuse_unused_layers(duplicate, trace.calls)
    negated.watch(duplicate, -images_NCHW, input_shape)
    _refuse_other_calls(trace.calls, negated.calls, "another image", "values")
    pair_logits_NC = pair.watch(duplicate, images_NCHW.repeat(2, 1, 1, 1), input_shape)
    _refuse_other_calls(trace.calls, pair.calls, "two images", "the number of images")
    _refuse_unsteady(logits_NC, pair_logits_NC)
    repeated = {name for name, count in trace.calls.items() if count > 1}
    return LayerTrace(
        places=dict(trace.places), repeated=frozenset(repeated | _layers_sharing_parameters(duplicate))
    )


class _Run:
    """What the layers that can be sliced did in one forward pass."""

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def watch(self, network: nn.Module, images_NCHW: Tensor, input_shape: tuple[int, int, int]) -> Tensor:
        handles = [
            module.register_forward_hook(
                lambda module, _args, output, name=name: self._record(name, module, output)
            )
            for name, module in network.named_modules()
            if layer_shape(module) is not None
        ]
        try:
            output = network(images_NCHW)
        except UnsupportedNetworkError:
            raise
        except (
            ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
        ) as error:  # fmt: skip
            raise UnsupportedNetworkError(
                f"the network must run on images of shape {input_shape}, but failed: {_first_line(error)}"
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(output, Tensor):
            raise UnsupportedNetworkError(
                f"the network must return its logits as one tensor when it is evaluated, but returned a "
                f"{type(output).__name__}; wrap it so that it does"
            )
        if output.ndim != 2:
            raise UnsupportedNetworkError(
                f"the network must return one row of logits per image, but returned a tensor of shape "
                f"{tuple(output.shape)} for {len(images_NCHW)} image; end it with pooling, "
                "flatten(1) (not squeeze) and a linear layer"
            )
        return output

    def _record(self, name: str, module: nn.Module, output: Tensor) -> None:
        on_features = isinstance(module, nn.Linear)
        if on_features and output.ndim not in (2, 4):
            raise UnsupportedNetworkError(
                f"linear layers must work on vectors or channels-last maps to be pruned, but {name!r} gives a tensor "
                f"of {output.ndim} dimensions; attention and token networks are not supported"
            )
        self.calls[name] += 1
        self.places[name] += (output[0, ..., 0] if on_features else output[0, 0]).numel()


def _refuse_unused_layers(duplicate: nn.Module, calls: Mapping[str, int]) -> None:
    for name, module in duplicate.named_modules():
        if layer_shape(module) is not None and name not in calls:
            raise UnsupportedNetworkError(
                f"every layer must be used when the network is evaluated, but {name!r} is not; build the network "
                "without it (auxiliary classifiers: aux_logits=False)"
            )


def _refuse_other_calls(calls: Counter[str], others: Counter[str], other: str, branches_on: str) -> None:
    differing = [name for name in calls | others if calls[name] != others[name]]
    if differing:
        name = differing[0]
        raise UnsupportedNetworkError(
            f"the same layers must run for every image, but {name!r} ran {_times(calls[name])} for one and "
            f"{_times(others[name])} for {other}; write the network without branches on {branches_on}"
        )


def _refuse_unsteady(logits_NC: Tensor, pair_logits_NC: Tensor) -> None:
    """Refuse a network that answers one image otherwise when it is asked again, twice in one batch."""
    difference = (logits_NC.repeat(2, 1) - pair_logits_NC).abs().max()
    if difference > _UNSTEADY * logits_NC.abs().max():
        raise UnsupportedNetworkError(
            "the network must answer an image the same way every time and in every batch when it is evaluated, but "
            "its logits differ; turn off dropout and noise in evaluation mode"
        )


def _layers_sharing_parameters(duplicate: nn.Module) -> set[str]:
    owner: dict[int, str] = {}
    sharing: set[str] = set()
    for name, module in duplicate.named_modules():
        for parameter in module.parameters(recurse=False):
            first = owner.setdefault(id(parameter), name)
            if first != name:
                sharing |= {first, name}
    return sharing


def _times(count: int) -> str:
    return f"{count} time{'' if count == 1 else 's'}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
