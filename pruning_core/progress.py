"""How a pruning run tells of its progress without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias


class ProgressReporter(Protocol):
    """Told of every finished step of a stage; may raise to stop the run."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``stage`` are finished."""


def report_nothing(stage: str, done: int, total: int) -> None:
    """Listen to nothing: the default reporter."""


StepReport: TypeAlias = Callable[[int, int], None]
"""Told of the finished steps of one stage as (done, total); may raise to stop."""


def report_no_step(done: int, total: int) -> None:
    """Listen to nothing: the default report of a stage's steps."""
