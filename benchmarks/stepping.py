"""Run training loops one step at a time, so that several can take turns in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pruning_core.progress import StepReport


class _Stopped(Exception):  # noqa: N818  # not an error: how a loop is ended from inside its report
    pass


class SteppedRun:
    """A training function in a thread of its own, which waits after every step that it reports.

    What is timed is then the loop as the stages run it: batches, losses, updates. Only one of several such runs works
    at a time, the one whose ``step`` was called.

        with SteppedRun(lambda report: train_selector(..., report=report)) as run:
            run.step()
    """

    def __init__(self, train: Callable[[StepReport], object]) -> None:
        self._train = train
        self._may_go, self._has_stepped = threading.Semaphore(0), threading.Semaphore(0)
        self._is_stopped = False
        self._ended_with: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_stopped = True
        self._may_go.release()
        self._thread.join()

    def step(self) -> None:
        """Work until the next step is reported; the first call prepares what comes before it as well.

        Raises:
            RuntimeError: The loop has ended; caused by its error if it had one.
        """
        self._may_go.release()
        self._has_stepped.acquire()
        if self._ended_with is not None:
            raise RuntimeError("a stepped run must have a step left, but it has ended") from self._ended_with

    def _work(self) -> None:
        self._may_go.acquire()
        try:
            if not self._is_stopped:
                self._train(self._report)
            self._ended_with = StopIteration()
        except BaseException as error:  # noqa: BLE001  # handed to the caller of step
            self._ended_with = error
        self._has_stepped.release()

    def _report(self, _done: int, _total: int) -> None:
        self._has_stepped.release()
        self._may_go.acquire()
        if self._is_stopped:
            raise _Stopped
