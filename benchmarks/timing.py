"""Clocks, waiting, and what a device can do at best: what measurements of speed share."""

from __future__ import annotations

import platform
import statistics
import time
from typing import Any

import torch

_COPIED_BYTES = {"cpu": 2**28, "cuda": 2**32}
_NUM_COPIES = 10


def _uses_cpu_seconds(device: str) -> bool:
    return device == "cpu" and torch.get_num_threads() == 1


def clock(device: str) -> float:
    """Return seconds, of which differences count: computed by this process, or passed where that says nothing."""
    return time.process_time() if _uses_cpu_seconds(device) else time.perf_counter()


def wait_for(device: str) -> None:
    """Wait until a device has done what it was told to; a CPU has when it is asked."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: str) -> float:
    """Return 10**9 bytes per second, read and written, at which the device copies a tensor larger than its caches."""
    size = _COPIED_BYTES[torch.device(device).type]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(_NUM_COPIES):
        wait_for(device)
        started = clock(device)
        target.copy_(source)
        wait_for(device)
        seconds.append(clock(device) - started)
    return 2 * size / statistics.median(seconds) / 1e9


def machine_facts(device: str) -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    is_gpu = device != "cpu"
    return {
        "device": torch.cuda.get_device_name(device) if is_gpu else platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "clock": "CPU seconds" if _uses_cpu_seconds(device) else "elapsed seconds",
        "copy_gb_per_s": round(copy_bandwidth(device), 1),
    }
