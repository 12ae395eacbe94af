"""How many trials may share a GPU, from what one of them needs at its peak."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reports.formats import amount, counted
from search.execution.slots import count_trials_on_gpus

__all__ = ["GpuSharing", "gpu_memory_mb", "share_gpu", "sharing_text"]

_MB = 1e6
_CUDA_MB = 600.0  # of each process, beside torch's allocator: CUDA's own state and the code of its kernels
_ALLOWANCE = (
    0.2  # of the peak: gaps that the allocator cannot hand out, and larger networks than the probed one
)
_MOST_TRIALS = 64  # that 1 / gpus_per_trial, with four decimals, gives back exactly


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSharing:
    """Trials on one GPU. ``needed_mb``: of one trial, with an allowance. ``num_trials``: that fit, at least 1."""

    needed_mb: float
    num_trials: int

    @property
    def gpus_per_trial(self) -> float:
        """What to set for so many trials: their share, rounded down to the four decimals that Ray knows."""
        return 10_000 // self.num_trials / 10_000


def share_gpu(peak_mb: float, total_mb: float) -> GpuSharing:
    """Work out how many trials fit a GPU.

    Args:
        peak_mb: The most that torch's allocator had handed out at once, in any stage: each runs in a trial's slot.
        total_mb: Memory of the whole GPU.
    """
    needed_mb = peak_mb * (1 + _ALLOWANCE) + _CUDA_MB
    return GpuSharing(needed_mb=needed_mb, num_trials=min(max(1, int(total_mb / needed_mb)), _MOST_TRIALS))


def sharing_text(peak_mb: float, total_mb: float, gpus_per_trial: float) -> str:
    """Say how many trials fit a GPU, and what to set so that they share it.

    Args:
        peak_mb: As of `share_gpu`.
        total_mb: As of `share_gpu`.
        gpus_per_trial: As it is set now.
    """
    sharing = share_gpu(peak_mb, total_mb)
    now = count_trials_on_gpus(1, min(gpus_per_trial, 1))
    room = f"{counted(sharing.num_trials, 'trial')} would fit the {_size(total_mb)} of a GPU here"
    if now == sharing.num_trials:
        advice = f"as resources.gpus_per_trial={gpus_per_trial:g} has it"
    elif now < sharing.num_trials:
        advice = f"with resources.gpus_per_trial={sharing.gpus_per_trial:g}"
    else:
        advice = f"but {now} share it now; set resources.gpus_per_trial={sharing.gpus_per_trial:g}"
    return f"{_size(peak_mb)} at the peak, {_size(sharing.needed_mb)} with an allowance for CUDA: {room}, {advice}"


def gpu_memory_mb() -> float | None:
    """Return the memory of the GPU that torch uses in this process; None without one."""
    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory) / _MB


def _size(megabytes: float) -> str:
    return f"{amount(megabytes * _MB)}B"
