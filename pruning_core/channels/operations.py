"""Which operations between layers work on each channel alone, so that channels can go before them.

Operations are recognised by their autograd nodes. What is not known here bars the channels that pass through it:
guessing "element-wise" is how removal goes wrong in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch.autograd.graph import Node

_CHANNEL_DIM = 1
_CHANNELS_LAST_AND_BACK = ((0, 2, 3, 1), (0, 3, 1, 2))
_ARITHMETIC = (
    "Abs", "Add", "Alias", "Clamp", "ClampMax", "ClampMin", "Clone", "Div", "Exp", "Log", "Maximum", "Minimum", "Mul",
    "Neg", "Pow", "Reciprocal", "Rsqrt", "Rsub", "Sqrt", "Sub", "ToCopy", "Where",
)  # fmt: skip
_ACTIVATIONS = (
    "Celu", "Elu", "Gelu", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyRelu", "LogSigmoid", "Mish", "PreluKernel",
    "Relu", "RreluWithNoise", "Sigmoid", "Silu", "Softplus", "Tanh", "Threshold",
)  # fmt: skip
_WITHIN_MAPS = (
    "AdaptiveAvgPool2D", "AdaptiveMaxPool2D", "AvgPool2D", "MaxPool2DWithIndices", "NativeBatchNorm", "ReflectionPad2D",
    "ReplicationPad2D", "UpsampleBicubic2D", "UpsampleBilinear2D", "UpsampleNearest2D",
)  # fmt: skip
_ADDITIONS = frozenset({"Add", "Maximum", "Minimum", "Rsub", "Sub", "Where"})
_PER_CHANNEL = frozenset((*_ARITHMETIC, *_ACTIVATIONS, *_WITHIN_MAPS))


def objection(grad_fn: Node) -> str | None:
    """Return why channels that pass through an operation must stay, or None where it treats each one alone."""
    name = _name(grad_fn)
    if name in _PER_CHANNEL:
        return None
    check = _CHECKS.get(name)
    if check is not None:
        return check(grad_fn)
    return f"its channels pass through {grad_fn.name()}, which is not known to work on each channel alone"


def is_addition(grad_fn: Node) -> bool:
    """Tell whether an operation of two maps adds or selects; a product scales one by the other."""
    return _name(grad_fn) in _ADDITIONS


def _name(grad_fn: Node) -> str:
    return grad_fn.name().split("Backward")[0]


def _reduction(grad_fn: Node) -> str | None:
    if _dims(grad_fn, "_saved_dim") & {0, _CHANNEL_DIM} or not hasattr(grad_fn, "_saved_dim"):
        return "its channels are added up"
    return None


def _padding(grad_fn: Node) -> str | None:
    padding: Sequence[int] = grad_fn._saved_pad  # type: ignore[attr-defined] # torch's stub lacks saved values
    return (
        "its channels are padded with zero channels (a zero-padding shortcut)" if any(padding[4:]) else None
    )


def _slice(grad_fn: Node) -> str | None:
    whole = getattr(grad_fn, "_saved_start", 1) == 0 and getattr(grad_fn, "_saved_step", 0) == 1
    width = _sizes(grad_fn)[_CHANNEL_DIM]
    if _CHANNEL_DIM in _dims(grad_fn, "_saved_dim") and not (
        whole and getattr(grad_fn, "_saved_end", 0) >= width
    ):
        return "its channels are taken apart by slicing"
    return None


def _concatenation(grad_fn: Node) -> str | None:
    dim: int = grad_fn._saved_dim  # type: ignore[attr-defined] # torch's stub lacks saved values
    if dim == _CHANNEL_DIM or _signed(dim) == -3:  # maps are NCHW where they are concatenated
        return None
    return "its channels are concatenated along another dimension than that of channels"


def _squeeze(grad_fn: Node) -> str | None:
    width = _sizes(grad_fn)[_CHANNEL_DIM]
    touched = _dims(grad_fn, "_saved_dim") if hasattr(grad_fn, "_saved_dim") else {0, _CHANNEL_DIM}
    return "its only channel may be squeezed away" if width == 1 and _CHANNEL_DIM in touched else None


def _unsqueeze(grad_fn: Node) -> str | None:
    dim: int = grad_fn._saved_dim  # type: ignore[attr-defined] # torch's stub lacks saved values
    return None if _signed(dim) in (2, 3, -1) else "its channels are moved to another dimension"


def _expansion(grad_fn: Node) -> str | None:
    sizes = _sizes(grad_fn)
    return None if len(sizes) == 4 and sizes[_CHANNEL_DIM] > 1 else "its channels are repeated"


def _layer_normalisation(_grad_fn: Node) -> str:
    return (
        "its channels meet a layer normalisation that cannot be sliced exactly: it normalises over channels"
    )


def _split(grad_fn: Node) -> str | None:
    return (
        "its channels are taken apart by splitting" if _CHANNEL_DIM in _dims(grad_fn, "_saved_dim") else None
    )


def _flattening(grad_fn: Node) -> str | None:
    before, after = _sizes(grad_fn), _sizes_after(grad_fn)
    keeps_channels = tuple(before[:2]) == tuple(after[:2])
    is_flattened = len(before) == 4 and len(after) == 2 and before[0] == after[0]
    is_unflattened = len(before) == 2 and len(after) == 4 and before[0] == after[0]
    if keeps_channels or is_flattened or is_unflattened:
        return None
    return "its channels are rearranged (as in a channel shuffle)"


def _permutation(grad_fn: Node) -> str | None:
    dims = tuple(_signed(dim) % 4 for dim in grad_fn._saved_dims)  # type: ignore[attr-defined] # torch's stub lacks it
    return None if dims in _CHANNELS_LAST_AND_BACK else "its channels are moved to another dimension"


def _sizes(grad_fn: Node) -> Sequence[int]:
    sizes: Sequence[int] = grad_fn._saved_self_sym_sizes  # type: ignore[attr-defined] # torch's stub lacks saved values
    return sizes


def _sizes_after(grad_fn: Node) -> Sequence[int]:
    (output,) = grad_fn._input_metadata  # what its gradient comes in as: its output
    sizes: Sequence[int] = output.shape
    return sizes


def _dims(grad_fn: Node, name: str) -> set[int]:
    found = getattr(grad_fn, name, ())
    dims = found if isinstance(found, tuple) else (found,)
    rank = len(_sizes(grad_fn))
    return {_signed(dim) % rank for dim in dims}


def _signed(dim: int) -> int:
    """Autograd hands out negative dimensions as unsigned 64-bit numbers."""
    return dim - 2**64 if dim >= 2**63 else dim


_CHECKS: dict[str, Callable[[Node], str | None]] = {
    "Cat": _concatenation,
    "ConstantPadNd": _padding,
    "Expand": _expansion,
    "Mean": _reduction,
    "NativeLayerNorm": _layer_normalisation,
    "Permute": _permutation,
    "Slice": _slice,
    "Split": _split,
    "SplitWithSizes": _split,
    "Squeeze": _squeeze,
    "Sum": _reduction,
    "UnsafeView": _flattening,
    "Unsqueeze": _unsqueeze,
    "View": _flattening,
}
