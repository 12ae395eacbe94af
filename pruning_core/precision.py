"""The arithmetic of trainings: single precision, or bfloat16 where the device multiplies it natively.

Only passes that learn something are computed in bfloat16, by ``torch.autocast``: weights, optimisers, statistics and
losses stay in single precision, and so do evaluations, explanations that are kept, importances and proofs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from pruning_core.setting_types import Precision

_NATIVE_ON_CPU = ("avx512_bf16", "amx_bf16")  # without these, bfloat16 is emulated and slower


def precision_used(precision: Precision, device: str | torch.device) -> Precision:
    """Return ``float32`` or ``bfloat16``: what was asked for, or for ``auto`` what suits the device."""
    if precision != "auto":
        return precision
    return "bfloat16" if _multiplies_bfloat16(torch.device(device)) else "float32"


def computing_in(precision: Precision, device: str | torch.device) -> AbstractContextManager[None]:
    """Return a context in which networks compute in a precision; what must be exact leaves it by ``in_single``."""
    if precision_used(precision, device) == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def run_in(precision: Precision, network: nn.Module, images_NCHW: Tensor) -> Tensor:
    """Run a network on a batch in a precision and return its output in single precision at least."""
    with computing_in(precision, images_NCHW.device):
        return in_single(network(images_NCHW))


def in_single(tensor: Tensor) -> Tensor:
    """Return a bfloat16 tensor in single precision, and any other as it is."""
    return tensor.float() if tensor.dtype is torch.bfloat16 else tensor


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in _NATIVE_ON_CPU)
    return False
