"""Give memory that was freed back to the system."""

from __future__ import annotations

import ctypes
import gc

__all__ = ["return_freed_memory"]


def return_freed_memory() -> bool:
    """Collect garbage and let the C library return what is free; tell whether it could.

    glibc keeps the freed tensors of one network between those of the next, so that a worker would grow with every
    network of another width that it trains.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    return trim is not None and bool(trim(0))
