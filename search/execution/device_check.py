"""Whether a process can still use its GPU: some errors of CUDA leave every later call of the process failing."""

from __future__ import annotations

import sys

from search.execution.smaller_batches import is_out_of_memory

__all__ = ["is_device_usable"]


def is_device_usable(device: str) -> bool:
    """Tell whether this process's GPU still answers; true of what is no GPU, and of one that was never used.

    A failed assertion in a kernel or an illegal memory access ends CUDA for the process, not for others.

    Args:
        device: As torch names it.
    """
    torch = sys.modules.get("torch")
    if not device.startswith("cuda") or torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device=device).item()
    except Exception as error:  # noqa: BLE001 - whatever it says, nothing else would run either
        return is_out_of_memory(error)  # others on the same GPU may hold all of it for now
    return True
