from itertools import permutations
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.fronts import (
    distinct,
    find_front,
    front_ranks,
    hypervolume,
    hypervolume_history,
    non_dominated,
    ranks,
)
from reports.objectives import Direction
from reports.records import StudyRecords, TrialRecord, TrialStatus
from tests.reports_tests.synthetic import (
    ACCURACY_AND_MACS,
    MIXED,
    START,
    is_close,
    make_record,
    make_study,
    record_with,
    staircase,
    study_of,
)

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE
THREE = {"accuracy": UP, "macs": DOWN, "params": DOWN}


def dominates(first: NDArray[np.float64], second: NDArray[np.float64], directions: list[Direction]) -> bool:
    signs = np.array([1 if direction is DOWN else -1 for direction in directions])
    return bool(np.all(signs * first <= signs * second) and np.any(signs * first < signs * second))


def slow_front(values: NDArray[np.float64], directions: list[Direction]) -> list[bool]:
    return [not any(dominates(other, row, directions) for other in values) for row in values]


def slow_ranks(values: NDArray[np.float64], directions: list[Direction]) -> list[int]:
    found = [0] * len(values)
    left, rank = list(range(len(values))), 0
    while left:
        rank += 1
        on_front = slow_front(values[left], directions)
        for index, is_member in zip(list(left), on_front, strict=True):
            if is_member:
                found[index] = rank
                left.remove(index)
    return found


@pytest.mark.parametrize(
    "directions", [[UP, DOWN], [DOWN, DOWN], [UP, DOWN, DOWN], [UP, UP, DOWN, DOWN], [DOWN], [UP]]
)
@pytest.mark.parametrize("seed", range(5))
def test_front_and_ranks_agree_with_a_quadratic_oracle(directions: list[Direction], seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 8, size=(60, len(directions))).astype(np.float64)
    assert non_dominated(values, directions).tolist() == slow_front(values, directions)
    assert ranks(values, directions).tolist() == slow_ranks(values, directions)


def test_nothing_has_no_front() -> None:
    assert non_dominated(np.zeros((0, 3)), [UP, DOWN, DOWN]).tolist() == []
    front = find_front(make_study(0))
    assert (front.ranked, front.members, front.points) == ((), (), ())
    assert front_ranks(make_study(0)) == {}


def test_a_staircase_is_all_front_most_macs_first() -> None:
    front = find_front(study_of(staircase(9)))
    assert [record.number for record in front.members] == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_network_beaten_everywhere_is_on_the_second_rank() -> None:
    study = study_of(
        [record_with(0, 0.8, 500, 50), record_with(1, 0.7, 600, 60), record_with(2, 0.9, 700, 70)]
    )
    assert [record.number for record in find_front(study).members] == [2, 0]
    assert front_ranks(study) == {0: 1, 1: 2, 2: 1}


def test_front_does_not_depend_on_the_order_of_trials() -> None:
    records = [
        record_with(0, 0.8, 500, 50),
        record_with(1, 0.7, 600, 40),
        record_with(2, 0.9, 700, 70),
        record_with(3, 0.8, 500, 50),
    ]
    fronts = {
        tuple(record.number for record in find_front(study_of(order)).members)
        for order in permutations(records)
    }
    assert fronts == {(2, 1, 0, 3)}


@pytest.mark.parametrize("column", [0, 1, 2])
def test_front_does_not_change_under_a_monotone_change_of_an_axis(column: int) -> None:
    values = np.random.default_rng(1).uniform(0.1, 1, size=(200, 3))
    changed = values.copy()
    changed[:, column] = np.exp(5 * changed[:, column]) - 7
    directions = [UP, DOWN, DOWN]
    assert non_dominated(values, directions).tolist() == non_dominated(changed, directions).tolist()
    assert ranks(values, directions).tolist() == ranks(changed, directions).tolist()


def test_equal_networks_all_stay_on_the_front_and_count_once_as_points() -> None:
    records = [record_with(number, 0.8, 500, 50) for number in (4, 2, 9)]
    front = find_front(study_of(records))
    assert [record.number for record in front.members] == [2, 4, 9]
    assert [record.number for record in front.points] == [2]
    assert [record.number for record in distinct(records, THREE)] == [2]


@pytest.mark.parametrize("status", [s for s in TrialStatus if s is not TrialStatus.COMPLETE])
def test_only_complete_trials_count(status: TrialStatus) -> None:
    flattered = record_with(1, 0.99, 10, 1).model_copy(update={"status": status, "reason": "why"})
    front = find_front(study_of([record_with(0, 0.8, 500, 50), flattered]))
    assert [record.number for record in front.ranked] == [0]


def test_networks_over_a_budget_or_constraint_do_not_count() -> None:
    over_budget = record_with(1, 0.99, 400, 40).model_copy(update={"limits": {"macs": 399}})
    violating = record_with(2, 0.99, 400, 40).model_copy(update={"constraint_values": {"params": 0.2}})
    front = find_front(study_of([record_with(0, 0.8, 500, 50), over_budget, violating]))
    assert [record.number for record in front.members] == [0]


def test_a_trial_without_a_value_for_an_objective_does_not_count() -> None:
    study = make_study(5).model_copy(update={"objectives": {"accuracy": UP, "latency_ms": DOWN}})
    assert find_front(study).ranked == ()


def test_directions_are_those_of_the_study() -> None:
    study = study_of(staircase(4)).model_copy(update={"objectives": {"accuracy": DOWN, "macs": UP}})
    assert len(find_front(study).members) == 4
    both_up = study.model_copy(update={"objectives": {"accuracy": UP, "macs": UP}})
    assert [record.number for record in find_front(both_up).members] == [3]


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_hypervolume_of_a_staircase_is_its_closed_form(count: int) -> None:
    # losses (i / n, (n - 1 - i) / n) for i = 0..n-1 dominate (n + 1) / (2 n) of the unit square
    records = [
        record_with(i, 1 - (count - 1 - i) / count, max(1, round(1e6 * i / count)), 50, num_images=count)
        for i in range(count)
    ]
    assert hypervolume(records, ACCURACY_AND_MACS) == pytest.approx((count + 1) / (2 * count), abs=1e-5)


def test_hypervolume_of_one_network_is_a_box() -> None:
    assert is_close(hypervolume([record_with(0, 0.8, 300_000, 40_000)], THREE), 0.8 * 0.7 * 0.6)


def test_hypervolume_of_nothing_and_of_the_dense_network_is_zero() -> None:
    assert hypervolume([], THREE) == 0
    assert hypervolume([record_with(0, 0.95, 1_000_000, 100_000)], THREE) == 0


@pytest.mark.parametrize("name", ["explanation_similarity", "explanation_distance"])
def test_hypervolume_stays_in_the_unit_box_for_every_objective(name: str) -> None:
    direction = UP if name == "explanation_similarity" else DOWN
    records = make_study(30).records
    assert 0 < hypervolume(records, {"accuracy": UP, name: direction}) < 1


def test_a_dominated_network_adds_no_hypervolume() -> None:
    records = staircase(5)
    worse = record_with(99, 0.3, 900_000, 90_000)
    assert hypervolume([*records, worse], THREE) == hypervolume(records, THREE)


def slow_history(study: StudyRecords) -> list[tuple[float, float]]:
    finished = sorted(find_front(study).ranked, key=lambda record: (record.finished_at or 0, record.number))
    history: list[tuple[float, float]] = []
    for count in range(1, len(finished) + 1):
        volume = hypervolume(finished[:count], study.objectives)
        if volume > (history[-1][1] if history else 0):
            history.append(((finished[count - 1].finished_at or 0) - START, volume))
    return history


@pytest.mark.parametrize("seed", range(3))
def test_history_equals_the_hypervolume_of_every_prefix(seed: int) -> None:
    study = make_study(60, seed=seed, statuses=MIXED)
    history = hypervolume_history(study)
    slow = slow_history(study)
    assert [time for time, _ in history] == [time for time, _ in slow]
    assert [value for _, value in history] == pytest.approx([value for _, value in slow])


def test_history_follows_finish_times_not_numbers() -> None:
    records = [
        record_with(0, 0.9, 500_000, 50_000, finished=30),
        record_with(1, 0.5, 900_000, 90_000, finished=10),
    ]
    history = hypervolume_history(study_of(records))
    assert [time for time, _ in history] == [10, 30]
    assert hypervolume_history(study_of(records[:1]))[0][1] == history[-1][1]


def test_front_of_shuffled_random_trials_is_the_same() -> None:
    records = [make_record(number) for number in range(80)]
    shuffled: list[TrialRecord] = list(records)
    Random(3).shuffle(shuffled)
    assert find_front(study_of(records)).members == find_front(study_of(shuffled)).members
