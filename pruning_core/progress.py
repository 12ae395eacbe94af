"""How a pruning run tells of its progress without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class ProgressReporter(Protocol):
    """Told of every finished step of a stage; may raise to stop the run."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``stage`` are finished."""


def report_nothing(stage: str, done: int, total: int) -> None:
    """Listen to nothing: the default reporter."""
