"""The process that writes MLflow: ``python -m search.tracking.program``, started by `process`.

Reads pickled messages from its standard input: an address with facts, then news of the study. Answers each of the
latter on its standard output. Ends when its input does, in the middle of its work if need be.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from reports.records import StudyRecords, TrialRecord
from search.tracking.process import Answer, News, Opening
from search.tracking.writer import Projection, StudyAddress, open_projection, problem_of

__all__ = ["main"]

_NICENESS = 5
"""Trials come first: what MLflow lacks can be written later."""


def main() -> None:
    """Write until the driver is gone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what libraries print is no answer
    os.nice(_NICENESS)
    messages: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, messages), daemon=True).start()
    with _ending_at_once():
        opening = messages.get()
        assert isinstance(opening, Opening)
        with _alone(opening.address):
            _write(messages, opening, answers)


def _listen(source: BinaryIO, messages: queue.SimpleQueue[object]) -> None:
    with _ending_at_once():
        try:
            while True:
                messages.put(pickle.load(source))  # noqa: S301 - from the driver that started this process
        except (EOFError, pickle.UnpicklingError):  # the driver is gone, perhaps in the middle of a message
            os._exit(0)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """End the process when either of its threads breaks: the other one waits for it, and the driver for both."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the traceback is for whoever started it
        traceback.print_exc()
        os._exit(1)


def _write(messages: queue.SimpleQueue[object], opening: Opening, answers: BinaryIO) -> None:
    projection: Projection | None = None
    records: list[TrialRecord] = []
    while True:
        news = messages.get()
        assert isinstance(news, News)
        records += news.study.records
        study: StudyRecords = news.study.model_copy(update={"records": tuple(records)})
        try:
            projection = projection or open_projection(opening.address, opening.facts)
            projection.sync(study, news.final_status)
        except Exception as error:  # noqa: BLE001 - whatever ails MLflow, the search is told and goes on
            answer = Answer(problem=problem_of(error))
        else:
            answer = Answer(num_written=projection.num_written)
        pickle.dump(answer, answers)
        answers.flush()


@contextmanager
def _alone(address: StudyAddress) -> Iterator[None]:
    """Wait until the writer of an earlier driver is gone, which ends with that driver but not in the same moment."""
    place: Path = address.runs_path.with_name(f".{address.runs_path.name}.lock")
    with place.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
