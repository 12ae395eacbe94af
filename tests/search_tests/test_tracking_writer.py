from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from reports.records import StudyRecords
from search.tracking.writer import DetachedProjection, TrackingWriter
from tests.reports_tests.synthetic import make_study


class InMemoryTracker:
    """Counts trials; fails as often as it is told to."""

    def __init__(self, num_failures: int = 0) -> None:
        self.num_failures = num_failures
        self.num_written = 0
        self.statuses: list[str | None] = []
        self.written = threading.Event()
        self.is_closed = False

    def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
        if self.num_failures > 0:
            self.num_failures -= 1
            raise ConnectionError("no route to host\nand more")
        self.num_written = len(study.records)
        self.statuses.append(final_status)
        self.written.set()

    def interrupt(self) -> None:
        """Nothing lasts here."""

    def close(self) -> None:
        self.is_closed = True


def make_writer(connect: Callable[[], DetachedProjection]) -> TrackingWriter:
    writer = TrackingWriter(connect, first_delay_s=0.01)
    writer.start()
    return writer


def first(study: StudyRecords, num_trials: int) -> StudyRecords:
    return study.model_copy(update={"records": study.records[:num_trials]})


@pytest.fixture(scope="module")
def study() -> StudyRecords:
    return make_study(6)


def test_records_are_written_while_the_search_goes_on(study: StudyRecords) -> None:
    tracker = InMemoryTracker()
    writer = make_writer(lambda: tracker)
    writer.submit(first(study, 2))
    assert tracker.written.wait(5)
    assert tracker.num_written == 2
    assert writer.close(study, "FINISHED", patience_s=5) == len(study.records)
    assert tracker.statuses == [None, "FINISHED"]
    assert tracker.is_closed


def test_failures_are_tried_again_until_all_is_written(study: StudyRecords) -> None:
    tracker = InMemoryTracker(num_failures=3)
    writer = make_writer(lambda: tracker)
    writer.submit(first(study, 1))
    assert tracker.written.wait(5)
    assert writer.close(study, "FINISHED", patience_s=5) == len(study.records)
    assert writer.problem is None


def test_a_connection_that_fails_is_made_again(study: StudyRecords) -> None:
    attempts = []

    def connect() -> DetachedProjection:
        attempts.append(time.monotonic())
        if len(attempts) < 3:
            raise ConnectionError("no route to host")
        return InMemoryTracker()

    writer = make_writer(connect)
    assert writer.close(study, "FINISHED", patience_s=5) == len(study.records)
    assert len(attempts) == 3
    assert attempts[2] - attempts[1] > attempts[1] - attempts[0]


def test_an_unreachable_mlflow_holds_up_neither_the_search_nor_its_end(study: StudyRecords) -> None:
    tracker = InMemoryTracker(num_failures=10**9)
    writer = make_writer(lambda: tracker)
    started = time.monotonic()
    for num_trials in range(len(study.records)):
        writer.submit(first(study, num_trials))
    assert time.monotonic() - started < 0.1
    assert writer.close(study, "FINISHED", patience_s=0.2) == 0
    assert time.monotonic() - started < 2
    assert writer.problem == "ConnectionError: no route to host"


def test_a_call_that_hangs_is_not_waited_for_beyond_patience(study: StudyRecords) -> None:
    class Hanging(InMemoryTracker):
        is_interrupted = threading.Event()

        def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
            assert self.is_interrupted.wait(10)
            self.num_failures = 1
            super().sync(study, final_status)

        def interrupt(self) -> None:
            self.is_interrupted.set()

    tracker = Hanging()
    writer = make_writer(lambda: tracker)
    started = time.monotonic()
    assert writer.close(study, "KILLED", patience_s=0.2) == 0
    assert time.monotonic() - started < 2
    assert tracker.is_closed


def test_only_the_newest_records_wait_to_be_written(study: StudyRecords) -> None:
    hold, entered = threading.Event(), threading.Event()
    seen: list[int] = []

    class Slow(InMemoryTracker):
        def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
            entered.set()
            hold.wait(5)
            seen.append(len(study.records))
            super().sync(study, final_status)

    writer = make_writer(Slow)
    writer.submit(first(study, 1))
    assert entered.wait(5)
    for num_trials in (2, 3, 4):
        writer.submit(first(study, num_trials))
    hold.set()
    writer.close(study, "FINISHED", patience_s=5)
    assert seen[0] == 1
    assert seen[-1] == len(study.records)
    assert len(seen) <= 3


def test_a_search_that_ends_at_once_does_not_wait_for_the_start(study: StudyRecords) -> None:
    tracker = InMemoryTracker()
    writer = TrackingWriter(lambda: tracker, start_delay_s=60)
    writer.start()
    started = time.monotonic()
    assert writer.close(study, "FINISHED", patience_s=5) == len(study.records)
    assert time.monotonic() - started < 2
