"""A trial that ran out of memory runs again, in batches half as large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pruning_core.config import PruningConfig
from pruning_core.errors import LostProcessError
from pruning_core.stage_keys import fields_read_by

__all__ = ["is_out_of_memory", "ran_smaller", "with_smaller_batches"]

_SECTIONS = ("gates", "fine_tuning")  # of the trial's own stages: shared ones are the same for all trials
_LEAST_BATCH = 8
_MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
)  # of torch, told by another process or not


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory, of the machine or of an accelerator, was used up."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | LostProcessError) and any(
        text in str(error).lower() for text in _MESSAGES
    )


def with_smaller_batches(config: PruningConfig) -> tuple[PruningConfig, str] | None:
    """Return the run with gates and fine-tuning in batches half as large, and a line that says so.

    Learning rates and epochs stay, and so do batches that are small already, or that the method does not have. None if
    nothing is left to be halved.
    """
    read = fields_read_by(config.method, config.importance.allocation, config.gates.prior)
    sizes = {
        name: getattr(config, name).batch_size
        for name in _SECTIONS
        if f"{name}.batch_size" in read and getattr(config, name).batch_size >= 2 * _LEAST_BATCH
    }
    if not sizes:
        return None
    halved = {
        name: getattr(config, name).model_copy(update={"batch_size": size // 2})
        for name, size in sizes.items()
    }
    said = ", ".join(f"{name}.batch_size {size} -> {size // 2}" for name, size in sizes.items())
    return config.model_copy(update=halved), f"ran out of memory, and again with smaller batches: {said}"


def ran_smaller(config: Mapping[str, Any], proposed: PruningConfig) -> bool:
    """Tell whether a trial ran, with a configuration given as plain data, with smaller batches than were proposed."""
    return any(config[name]["batch_size"] < getattr(proposed, name).batch_size for name in _SECTIONS)
