"""How much memory a stage needed at its peak."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_MB = 1e6
_CLEAR_PEAK = "5"  # what Linux resets the peak resident size for; see proc_pid_clear_refs(5)
_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Peaks of one stage, in 10**6 bytes; known once the ``with`` block of ``measure_peak_memory`` has ended.

    ``resident_mb``: the largest resident size of the whole process while the stage ran: the interpreter and its
    libraries, and what earlier stages left behind, are in it. None where the system keeps one peak per process only
    and an earlier one was higher. ``gpu_mb``: the most that torch's allocator had handed out at once on the GPU; None
    on the CPU.
    """

    def __init__(self) -> None:
        self.resident_mb: float | None = None
        self.gpu_mb: float | None = None


@contextmanager
def measure_peak_memory(device: str) -> Iterator[PeakMemory]:
    """Measure the peaks of what runs inside the block; costs two system calls and no sampling.

    The kernel's own peak counter is set back at the start, so that blocks which follow each other in one process
    (a worker's stages) have peaks of their own. Blocks must not be nested.

    Args:
        device: Where the block computes; on a GPU its allocator's peak is reset and read as well.
    """
    peak = PeakMemory()
    gpu = torch.device(device) if torch.device(device).type == "cuda" else None
    is_reset = _reset_resident_peak()
    before_mb = process_peak_mb()
    if gpu is not None:
        torch.cuda.reset_peak_memory_stats(gpu)
    yield peak
    after_mb = process_peak_mb()
    if is_reset or after_mb > before_mb:
        peak.resident_mb = after_mb
    if gpu is not None:
        peak.gpu_mb = torch.cuda.max_memory_allocated(gpu) / _MB


def process_peak_mb() -> float:
    """Return the largest resident size of this process since it began, or since its peak was last set back."""
    if _STATUS.is_file():  # getrusage would count what ran in this process before its program was loaded
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / _MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MB if sys.platform == "darwin" else peak * 1024 / _MB


def _reset_resident_peak() -> bool:
    """Set the kernel's peak back to the present size; False where that is not possible."""
    try:
        _CLEAR_REFS.write_text(_CLEAR_PEAK, encoding="ascii")
    except OSError:
        return False
    return True
