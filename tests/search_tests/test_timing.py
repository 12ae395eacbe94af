from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.timeline import Timeline, read_timeline, session_seconds
from search.timing import measure_timing
from search.work_items import ItemKind, PlannedStage, WorkItem

DENSE = PlannedStage(name="dense", key="d")
SELECTORS = [PlannedStage(name="selector", key=f"s{index}", parents=("d",)) for index in range(2)]


def stage(which: PlannedStage) -> WorkItem:
    return WorkItem(kind=ItemKind.STAGE, name=which.name, key=which.key, number=0)


def trial(number: int) -> WorkItem:
    return WorkItem(kind=ItemKind.TRIAL, name="trial", key=f"t{number}", number=number)


def took(start: float, end: float, status: str = "complete") -> dict[str, Any]:
    return {"status": status, "started_at": start, "finished_at": end, "host": "h", "pid": 1, "reason": None}


@pytest.fixture
def timeline(tmp_path: Path) -> Path:
    """Two slots: dense 0-10, selectors 10-14 and 10-16, then four trials of 5 s."""
    path = tmp_path / "timeline.jsonl"
    writer = Timeline(path)
    writer.begin_session(at=-8.0, slots=2, pid=1)
    writer.add_item(stage(DENSE), took(0, 10))
    writer.add_item(stage(SELECTORS[0]), took(10, 14))
    writer.add_item(stage(SELECTORS[1]), took(10, 16))
    for number, (start, end) in enumerate([(14, 19), (16, 21), (19, 24), (21, 26)]):
        writer.add_item(trial(number), took(start, end), (DENSE, SELECTORS[number % 2]))
    writer.end_session(reason="finished")
    return path


def test_the_ideal_is_the_larger_of_work_per_slot_and_critical_path(timeline: Path) -> None:
    timing = measure_timing(read_timeline(timeline))
    assert timing.slots == 2
    assert timing.start_up_s == 8
    assert timing.wall_s == 26
    assert timing.work_s == 10 + 4 + 6 + 4 * 5
    assert timing.critical_path_s == 10 + 6 + 5
    assert timing.ideal_s == max(40 / 2, 21)
    assert timing.serial_s == 10
    assert timing.reachable_s == 10 + (40 - 10) / 2
    assert (timing.to_plain()["ideal_s"], timing.to_plain()["reachable_s"]) == (21, 25)


def test_without_sharing_each_trial_would_build_its_stages(timeline: Path) -> None:
    timing = measure_timing(read_timeline(timeline))
    assert timing.unshared_work_s == 2 * (10 + 4 + 5) + 2 * (10 + 6 + 5)
    assert timing.num_trials == 4


def test_each_shared_stage_is_listed_with_how_often_it_was_built(timeline: Path) -> None:
    stages = measure_timing(read_timeline(timeline)).shared_stages
    assert [(one.name, one.seconds, one.num_builds, one.num_trials) for one in stages] == [
        ("dense", 10, 1, 4),
        ("selector", 4, 1, 2),
        ("selector", 6, 1, 2),
    ]


def test_a_stage_built_twice_is_not_hidden(timeline: Path) -> None:
    writer = Timeline(timeline)
    writer.begin_session(at=100.0, slots=2, pid=2)
    writer.add_item(stage(DENSE), took(103, 113))
    timing = measure_timing(read_timeline(timeline))
    assert timing.shared_stages[0].num_builds == 2
    assert timing.start_up_s == 8 + 3
    assert timing.wall_s == 26 + 10


def test_failed_items_are_work_but_no_builds(timeline: Path) -> None:
    Timeline(timeline).add_item(stage(DENSE), took(26, 29, status="failed"))
    timing = measure_timing(read_timeline(timeline))
    assert timing.work_s == 43
    assert timing.shared_stages[0].num_builds == 1


def test_a_study_that_has_not_begun_took_no_time(tmp_path: Path) -> None:
    timing = measure_timing(read_timeline(tmp_path / "none.jsonl"))
    assert (timing.wall_s, timing.work_s, timing.ideal_s, timing.shared_stages) == (0, 0, 0, ())


def test_a_torn_line_is_not_read_and_cut_before_the_next_session(timeline: Path) -> None:
    whole = read_timeline(timeline)
    with timeline.open("a") as file:
        file.write('{"event": "it')
    assert read_timeline(timeline) == whole
    Timeline(timeline).begin_session(at=50.0, slots=1, pid=3)
    assert [event["event"] for event in read_timeline(timeline)][-2:] == ["end", "session"]


def test_time_between_sessions_does_not_count_against_the_limit() -> None:
    events = (
        {"event": "session", "at": 100.0},
        {"event": "item", "at": 130.0},
        {"event": "session", "at": 1000.0},
        {"event": "item", "at": 1010.0},
        {"event": "end", "at": 1012.0},
    )
    assert session_seconds(events) == 30 + 12
    assert session_seconds(()) == 0


def test_the_parts_of_a_trial_are_one_trial(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    log = Timeline(path)
    log.begin_session(at=0.0, slots=1, pid=1)
    for until, start, end in ((1, 1, 3), (3, 8, 12), (None, 12, 20)):
        item = WorkItem(kind=ItemKind.TRIAL, name="trial", key="t0", number=0, until=until)
        log.add_item(item, took(start, end), (DENSE,))
    timing = measure_timing(read_timeline(path))
    assert (timing.num_trials, timing.work_s, timing.critical_path_s) == (1, 14, 14)
