"""MLflow's writer as a process of its own, so that it never holds up the driver's interpreter.

The driver sends each finished trial once; the process keeps them and writes what MLflow lacks. It ends with the
driver: when the pipe that it listens to closes, at once.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruning_core.errors import StorageError
from reports.records import StudyRecords, TrialStatus
from search.tracking.writer import DetachedProjection, StudyAddress

__all__ = ["Answer", "News", "Opening", "ProjectionProcess"]

_PROGRAM = "search.tracking.program"
_LAST_WORDS_S = 1.0
"""So long a process that broke may take to say why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What the driver tells first: where MLflow is, and facts about the data and the dense network."""

    address: StudyAddress
    facts: dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What the driver tells then: ``study`` with only those finished trials that were not told before."""

    study: StudyRecords
    final_status: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of it. ``num_written``: trials that have a complete run; ``problem``: why it could not be written."""

    num_written: int = 0
    problem: str | None = None


class ProjectionProcess:
    """A `Projection` in another process, which starts with the first records and again whenever it is gone.

    Args:
        address: Where MLflow is.
        facts: About the data and the dense network: tags of the parent run.
    """

    def __init__(self, address: StudyAddress, facts: Mapping[str, object]) -> None:
        self._opening = Opening(address=address, facts=dict(facts))
        self._program: _Program | None = None
        self._told: set[int] = set()
        self._num_written = 0

    @property
    def num_written(self) -> int:
        """How many trials have a complete run, as far as this process was told."""
        return self._num_written

    @property
    def pid(self) -> int | None:
        """Of the process that writes; None while there is none."""
        return None if self._program is None else self._program.pid

    def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
        """Have the process write what MLflow lacks, and wait for it.

        Raises:
            StorageError: MLflow could not be written, or the process ended; why is in the text.
        """
        if self._program is None:
            self._program = _Program(self._opening)
            self._told.clear()
        new = [
            record
            for record in study.records
            if record.status is not TrialStatus.RUNNING and record.number not in self._told
        ]
        news = News(study=study.model_copy(update={"records": tuple(new)}), final_status=final_status)
        try:
            answer = self._program.ask(news)
        except (OSError, EOFError, pickle.UnpicklingError):
            words = self._program.end(_LAST_WORDS_S)
            self._program = None
            raise StorageError(
                f"the process that writes MLflow must live as long as the search, but ended ({words}); "
                "it is started again"
            ) from None
        self._told.update(record.number for record in new)
        if answer.problem is not None:
            raise StorageError(answer.problem)
        self._num_written = answer.num_written

    def interrupt(self) -> None:
        """End the process in the middle of its work: whoever writes next finds what it left."""
        if (program := self._program) is not None:
            program.kill()

    def close(self) -> None:
        """End the process."""
        if self._program is not None:
            self._program.end()
            self._program = None


class _Program:
    """`_PROGRAM` while it runs; in a session of its own, because Ctrl-C is for the driver."""

    def __init__(self, opening: Opening) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lasts as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", _PROGRAM],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._send(opening)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, news: News) -> Answer:
        self._send(news)
        answer: Answer = pickle.load(self._output)  # noqa: S301 - from our own process
        return answer

    def kill(self) -> None:
        self._process.kill()

    def end(self, patience_s: float = 0.0) -> str:
        """End it, unless it ends by itself soon, and return how it ended and its last words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        for pipe in (self._input, self._output, self._said):
            with suppress(BrokenPipeError):  # what was still to be sent is for nobody
                pipe.close()
        return ": ".join([f"exit status {code}", *lines[-1:]])

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # found by whoever waits for the answer
            pickle.dump(message, self._input)
            self._input.flush()


if TYPE_CHECKING:

    def _conforms(projection: ProjectionProcess) -> DetachedProjection:
        return projection
