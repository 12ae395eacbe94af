"""The front that grows trial by trial is the one that is found anew from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest

from reports.fronts import find_front
from reports.objectives import Direction
from reports.records import StudyRecords, TrialRecord, TrialStatus
from search.front_so_far import FrontSoFar
from search.front_text import front_lines
from tests.reports_tests.synthetic import (
    ACCURACY_AND_MACS,
    make_record,
    record_with,
    staircase,
    stopped_at,
    study_of,
)

OBJECTIVES: Mapping[str, Mapping[str, Direction]] = {
    "three": {**ACCURACY_AND_MACS, "params": Direction.MINIMIZE},
    "two": ACCURACY_AND_MACS,
    "one": {"accuracy": Direction.MAXIMIZE},
    "not all measured": {**ACCURACY_AND_MACS, "latency_ms": Direction.MINIMIZE},
}


def study(records: Sequence[TrialRecord], objectives: Mapping[str, Direction]) -> StudyRecords:
    return study_of(records).model_copy(update={"objectives": dict(objectives)})


def random_trials(seed: int, count: int) -> list[TrialRecord]:
    """Trials with few different values, so that many are equal, in another order than their numbers'."""
    random = Random(seed)
    numbers = random.sample(range(2 * count), count)
    return [random_trial(number, random) for number in numbers]


def random_trial(number: int, random: Random) -> TrialRecord:
    kind = random.random()
    if kind < 0.1:
        return make_record(number, status=random.choice([TrialStatus.FAILED, TrialStatus.INFEASIBLE]))
    level = random.randint(1, 6)
    accuracy = 0.4 + 0.08 * level - 0.05 * random.randint(0, 2)
    record = record_with(number, accuracy, 100_000 * level, 10_000 * random.randint(1, 4))
    assert record.scores is not None
    if kind < 0.2:
        return stopped_at(record, 1)
    update = {
        "latency_ms": random.choice([None, 0.5, 1.0]),
        "dense_macs": random.choice([1_000_000] * 9 + [2_000_000]),
    }
    limits = {"macs": 50_000} if kind < 0.3 else {}
    return record.model_copy(
        update={"scores": record.scores.model_copy(update=update), "limits": limits},
    )


@pytest.mark.parametrize("objectives", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("seed", range(5))
def test_trial_by_trial_it_is_the_front_of_the_whole_study(
    seed: int, objectives: Mapping[str, Direction]
) -> None:
    records = random_trials(seed, 60)
    num_earlier = 15 * (seed % 2)
    front = FrontSoFar(study(records[:num_earlier], objectives))
    for index in range(num_earlier, len(records)):
        front.add(records[index])
        assert front.points == find_front(study(records[: index + 1], objectives)).points
    whole = find_front(study(records, objectives))
    assert front_lines(front.largest(len(records))) == front_lines(whole)


@pytest.mark.parametrize("seed", range(3))
def test_its_version_changes_whenever_the_table_does(seed: int) -> None:
    front = FrontSoFar(study_of([]))
    lines, version = front_lines(front.largest(99)), front.version
    num_kept = 0
    for record in random_trials(seed, 60):
        front.add(record)
        if front.version == version:
            num_kept += 1
            assert front_lines(front.largest(99)) == lines
        lines, version = front_lines(front.largest(99)), front.version
    assert num_kept > 20


def test_a_part_of_it_has_the_most_macs_below_every_dense_network() -> None:
    other = record_with(9, 0.1, 900_000, 90_000)  # not on the front
    assert other.scores is not None
    scores = other.scores.model_copy(update={"dense_macs": 3_000_000})
    front = FrontSoFar(study_of(staircase(6)))
    front.add(other.model_copy(update={"scores": scores}))
    rows = [line.split()[0] for line in front_lines(front.largest(3))[1:-1]]
    assert rows == ["dense", "dense", "5", "4", "3"]


def test_of_equal_trials_the_lowest_number_stands_for_all() -> None:
    front = FrontSoFar(study_of([]))
    for number in (4, 7, 2, 3):
        front.add(record_with(number, 0.9, 400_000, 40_000))
    assert [record.number for record in front.points] == [2]
