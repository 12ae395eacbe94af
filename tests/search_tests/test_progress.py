from __future__ import annotations

import io
from collections import Counter
from random import Random
from statistics import fmean

import pytest
from rich.console import Console

from reports.fronts import find_front
from reports.records import StudyRecords, TrialRecord, TrialStatus
from search.front_text import front_lines
from search.outcomes import ItemOutcome, OutcomeStatus
from search.progress import LiveProgress, PlainProgress, SearchState, make_progress, trial_text
from search.spec_settings import COUNTED
from search.work_items import ItemKind, WorkItem
from tests.reports_tests.synthetic import make_record, record_with, staircase, stopped_at, study_of

DENSE = WorkItem(kind=ItemKind.STAGE, name="dense", key="d", number=0)
TRIAL = WorkItem(kind=ItemKind.TRIAL, name="trial", key="t", number=5)


def outcome(status: OutcomeStatus = OutcomeStatus.COMPLETE, reason: str | None = None) -> ItemOutcome:
    return ItemOutcome(status=status, started_at=100.0, finished_at=112.0, reason=reason)


def lasting(number: int, seconds: float) -> TrialRecord:
    record = record_with(number, 0.9, 400_000, 40_000)
    return record.model_copy(update={"started_at": 0.0, "finished_at": seconds})


def empty() -> StudyRecords:
    return study_of([])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_what_trials_took_shared_among_slots() -> None:
    clock = Clock()
    state = SearchState(study_of([lasting(0, 10), lasting(1, 30)]), limit=8, slots=2, clock=clock)
    assert state.left_s == 6 * 20 / 2
    state.running[TRIAL] = clock.now - 15
    assert state.left_s == (5 * 20 + 5) / 2
    state.running[TRIAL] = clock.now - 50
    assert state.left_s == 5 * 20 / 2


def test_a_study_lasts_until_its_last_trial() -> None:
    state = SearchState(empty(), limit=2, slots=2)
    before = state.study.updated_at
    later, earlier = (
        lasting(number, 10).model_copy(update={"finished_at": before + after})
        for number, after in enumerate((50.0, 20.0))
    )
    for record in (later, earlier):
        state.add(record)
    assert state.study.updated_at == before + 50


def test_time_left_is_unknown_before_the_first_trial_and_zero_after_the_last() -> None:
    assert SearchState(empty(), limit=8, slots=2).left_s is None
    assert SearchState(study_of([lasting(0, 10)]), limit=1, slots=2).left_s == 0


def test_the_summary_counts_what_the_limit_counts() -> None:
    records = [
        lasting(0, 10),
        make_record(1, status=TrialStatus.FAILED),
        make_record(2, status=TrialStatus.INFEASIBLE),
    ]
    state = SearchState(study_of(records), limit=12, slots=2)
    assert state.summary() == "2 of 12 trials done, 1 failed, 1 infeasible, about 50.0 s left"


def test_a_stopped_trial_counts_and_took_what_its_workers_took() -> None:
    stopped = stopped_at(lasting(0, 500), 1, 3, seconds=4.0)  # between its rungs it waited
    state = SearchState(study_of([stopped]), limit=5, slots=2)
    assert state.summary() == "1 of 5 trials done, 1 stopped, about 24.0 s left"
    assert state.reached == {1: 1, 3: 1}


def random_trial(number: int, random: Random) -> tuple[TrialRecord, float | None]:
    """A trial, and how long it kept a worker busy, if it says anything about the next ones."""
    status = random.choice([TrialStatus.COMPLETE] * 3 + list(TrialStatus))
    seconds = random.uniform(1, 100)
    if status is TrialStatus.COMPLETE:
        return lasting(number, seconds), seconds
    if status is TrialStatus.STOPPED:
        return stopped_at(lasting(number, 500), 1, 3, seconds=seconds), 3 * seconds
    return make_record(number, status=status), None


@pytest.mark.parametrize("seed", range(8))
def test_what_is_counted_on_the_way_is_what_all_trials_say(seed: int) -> None:
    random, clock = Random(seed), Clock()
    records, times = zip(*(random_trial(number, random) for number in range(80)), strict=True)
    num_earlier = random.choice([0, 30])
    state = SearchState(study_of(records[:num_earlier]), limit=200, slots=3, clock=clock)
    for index in range(num_earlier, len(records)):
        state.add(records[index])
        if index % 20 == 0:  # whoever asks in between gets what there is by then
            assert state.study.records == records[: index + 1]
    counts = Counter(record.status for record in records)
    assert {status: state.count(status) for status in TrialStatus} == {
        status: counts[status] for status in TrialStatus
    }
    assert state.num_done == sum(record.status in COUNTED for record in records)
    mean = fmean(seconds for seconds in times if seconds is not None)
    assert state.left_s == pytest.approx((200 - state.num_done) * mean / 3)
    assert state.summary() == SearchState(study_of(records), limit=200, slots=3, clock=clock).summary()
    assert state.study.records == records


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Numbers of the trials whose records anybody reads anything of."""
    numbers: set[int] = set()

    def note(record: TrialRecord, name: str) -> object:
        numbers.add(object.__getattribute__(record, "__dict__").get("number", -1))
        return object.__getattribute__(record, name)

    monkeypatch.setattr(TrialRecord, "__getattribute__", note, raising=False)
    return numbers


def test_a_line_for_a_trial_looks_at_no_earlier_one(looked_at: set[int]) -> None:
    *earlier, last = staircase(300)
    progress = PlainProgress(
        SearchState(study_of(earlier[:200]), limit=400, slots=2), Console(file=io.StringIO())
    )
    for record in earlier[200:]:
        progress.trial_finished(record)
    looked_at.clear()
    progress.trial_finished(last)
    assert looked_at == {last.number}


def test_a_view_looks_at_the_trials_that_it_shows(looked_at: set[int]) -> None:
    *earlier, last = staircase(300)
    height = 20
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=height)
    progress = LiveProgress(SearchState(study_of(earlier[:200]), limit=400, slots=2), console)
    for record in earlier[200:]:
        progress.trial_finished(record)
    looked_at.clear()
    progress.trial_finished(last)
    assert len(looked_at) <= 10, "halving 300 places takes 9 comparisons"
    looked_at.clear()
    console.print(progress._draw())
    assert 10 < len(looked_at) <= height + 1, "one more for the dense network"
    looked_at.clear()
    console.print(progress._draw())
    assert looked_at == set(), "nothing has changed"


def test_a_front_that_is_longer_than_the_terminal_is_cut_there() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, height=20, color_system=None)
    study = study_of(staircase(60))
    console.print(LiveProgress(SearchState(study, limit=99, slots=2), console)._draw())
    shown = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert shown[3:] == front_lines(find_front(study))[:20]
    assert len(shown) > 20, "so that the view says that there is more"


def test_rungs_are_shown_as_they_are_reached() -> None:
    streams = [io.StringIO(), io.StringIO()]
    rungs = stopped_at(lasting(0, 10), 1, 3).rungs
    climbing = WorkItem(kind=ItemKind.TRIAL, name="trial", key="t", number=5, until=3)
    plain = PlainProgress(
        SearchState(empty(), limit=4, slots=2, clock=Clock()), Console(file=streams[0], width=100)
    )
    console = Console(file=streams[1], force_terminal=True, width=120, color_system=None)
    live = LiveProgress(SearchState(empty(), limit=4, slots=2), console)
    for progress in (plain, live):
        progress.rung_reached(5, rungs[0])
        progress.rung_reached(6, rungs[0])
        progress.item_started(climbing)
        progress.rung_reached(5, rungs[1])
    console.print(live._draw())
    assert streams[0].getvalue().splitlines() == [
        "  0:00  trial 5 at epoch 1: accuracy 90.0%",
        "  0:00  trial 6 at epoch 1: accuracy 90.0%",
        "  0:00  trial 5 at epoch 3: accuracy 90.0%",
    ]
    assert "running: trial 5 to epoch 3 (" in streams[1].getvalue()
    assert "rungs: 2 trials at epoch 1, 1 at epoch 3" in streams[1].getvalue()


def test_a_pipe_gets_a_line_per_event() -> None:
    stream = io.StringIO()
    clock = Clock()
    progress = PlainProgress(
        SearchState(empty(), limit=2, slots=1, clock=clock), Console(file=stream, width=40)
    )
    with progress:
        clock.now += 75
        progress.item_started(DENSE)
        progress.item_finished(DENSE, outcome())
        progress.item_finished(DENSE, outcome(OutcomeStatus.FAILED, "the loss is [nan]"))
        progress.item_finished(TRIAL, outcome())
        progress.trial_finished(lasting(0, 10))
        progress.trial_finished(make_record(1, status=TrialStatus.FAILED))
    assert stream.getvalue().splitlines() == [
        "  1:15  stage dense built in 12.0 s",
        "  1:15  stage dense failed: the loss is [nan]",
        "  1:15  trial 0 complete: accuracy 90.0%, 400K FLOPs (MACs) (40.0% of dense), 40.0K params (40.0%) "
        "[1 of 2 trials done, about 10.0 s left]",
        f"  1:15  {trial_text(make_record(1, status=TrialStatus.FAILED))} [2 of 2 trials done, 1 failed]",
    ]


def test_a_terminal_gets_a_view_with_what_runs_and_the_front() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    state = SearchState(empty(), limit=4, slots=2)
    progress = make_progress(state, console)
    assert isinstance(progress, LiveProgress)
    with progress:
        progress.item_started(DENSE)
        progress.item_started(TRIAL)
        progress.trial_finished(lasting(0, 10))
        console.print(progress._draw())
    shown = stream.getvalue()
    assert "1 of 4 trials done" in shown
    assert "stage dense (" in shown
    assert "trial 5 (" in shown
    assert "FLOPs (MACs)" in shown
    assert "90.0%" in shown


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_view_fits_the_terminal(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    state = SearchState(empty(), limit=24, slots=2)
    state.add(lasting(0, 10))
    progress = LiveProgress(state, console)
    console.print(progress._draw())
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    first, second = lines[:2]
    assert state.summary() in first or width < 80
    assert second == "running: workers are starting" or width < 80
    assert sum(line.startswith("dense") for line in lines) == 1
    assert len(lines) == (8 if width < 80 else 7), lines


@pytest.mark.parametrize("status", [TrialStatus.FAILED, TrialStatus.INFEASIBLE])
def test_what_went_wrong_stays_on_the_screen(status: TrialStatus) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=300, color_system=None)
    with LiveProgress(SearchState(empty(), limit=4, slots=2), console) as progress:
        progress.trial_finished(make_record(1, status=status))
        progress.item_finished(DENSE, outcome(OutcomeStatus.FAILED, "no memory"))
    assert trial_text(make_record(1, status=status)) in stream.getvalue()
    assert "stage dense failed: no memory" in stream.getvalue()


def test_output_that_is_no_terminal_is_plain() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    assert isinstance(make_progress(SearchState(empty(), limit=1, slots=1), console), PlainProgress)


def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(make_progress(SearchState(empty(), limit=1, slots=1), console), PlainProgress)
