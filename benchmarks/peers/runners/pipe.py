"""A runner's end of the pipe to the process that knows the recording. The standard library is all it needs.

One JSON value a line. First comes the task; then the runner asks and gets one answer for each question, and says at
the end what it ran.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

__all__ = ["Field", "Measured", "Pipe", "Run", "Task"]


class Field(TypedDict):
    """One dimension of the space: ``choices``, or a range of numbers (``whole``: integers) from ``low`` to ``high``."""

    name: str
    low: float | None
    high: float | None
    log: bool
    whole: bool
    choices: list[Any] | None


class Task(TypedDict):
    """What a peer is to do. ``epochs``: where trials are measured, the last one being the end; ``seconds``: virtual."""

    fields: list[Field]
    epochs: list[int]
    eta: int
    slots: int
    seconds: float
    seed: int


class Measured(TypedDict):
    """A configuration at one of the epochs. ``losses``: lower is better; ``seconds``: since its training began."""

    epochs: int
    losses: list[float]
    seconds: float


class Run(TypedDict):
    """What became of one configuration. ``begun``, ``ended``: seconds; ``ended`` is null unless it came to the end."""

    values: dict[str, Any]
    begun: float
    ended: float | None


class Pipe:
    """Talks over the standard streams; what libraries print goes to the error stream."""

    def __init__(self) -> None:
        self._out = sys.stdout
        sys.stdout = sys.stderr
        self.task: Task = self._read()

    def ask(self, values: Mapping[str, Any]) -> list[Measured]:
        """Return what a configuration scores at every epoch of the task, ascending."""
        self._write({"ask": dict(values)})
        measured: list[Measured] = self._read()
        return measured

    def finish(self, runs: Sequence[Run]) -> None:
        """Say what was run, and that nothing more will be."""
        self._write({"runs": list(runs)})

    def _read(self) -> Any:
        line = sys.stdin.readline()
        if not line:
            sys.exit("the other end of the pipe is closed")
        return json.loads(line)

    def _write(self, plain: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(plain) + "\n")
        self._out.flush()
