"""How a work item ended: what a worker hands back to the driver, as plain data."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["ItemOutcome", "OutcomeStatus"]


class OutcomeStatus(StrEnum):
    """How a work item ended."""

    COMPLETE = "complete"
    INFEASIBLE = "infeasible"  # no allowed network meets the budgets
    FAILED = "failed"  # this configuration cannot run; others can
    NO_MEMORY = "no_memory"  # it may run with smaller batches
    NO_STORAGE = "no_storage"  # results cannot be written, so nothing can run
    UNFIT_MACHINE = "unfit_machine"  # no item can run where it was to run


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemOutcome:
    """The end of one work item.

    ``reason``: one line, of anything but COMPLETE. ``result``: `RunResult` as plain data, of a trial or a rung of one
    that is COMPLETE. Times are unix seconds of the worker's clock.
    """

    status: OutcomeStatus
    started_at: float
    finished_at: float
    reason: str | None = None
    traceback: str | None = None
    result: Mapping[str, Any] | None = None
    host: str = ""
    pid: int = 0

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold; ``from_plain`` reads it back."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> ItemOutcome:
        """Read what ``to_plain`` wrote."""
        return cls(**{**values, "status": OutcomeStatus(values["status"])})


def this_process() -> dict[str, Any]:
    """Return the fields that say where an item ran."""
    return {"host": socket.gethostname(), "pid": os.getpid()}
