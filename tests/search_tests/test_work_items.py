from __future__ import annotations

import itertools
import random

import pytest

from search.work_items import (
    ItemKind,
    PlannedStage,
    PlannedTrial,
    WorkItem,
    choose_item,
    critical_path_s,
    serial_prefix_s,
)

DENSE = PlannedStage(name="dense", key="dense")
PREDICTOR = PlannedStage(name="predictor", key="predictor", parents=("dense",))
IMPORTANCE = PlannedStage(name="importance", key="importance", parents=("dense",))


def selector(num_basis: int) -> PlannedStage:
    return PlannedStage(name="selector", key=f"selector-{num_basis}", parents=("dense", "predictor"))


def steered(number: int, num_basis: int) -> PlannedTrial:
    return PlannedTrial(number=number, key=f"trial-{number}", stages=(DENSE, PREDICTOR, selector(num_basis)))


def scored(number: int) -> PlannedTrial:
    return PlannedTrial(number=number, key=f"trial-{number}", stages=(DENSE, IMPORTANCE))


TWELVE_TRIALS = [steered(number, num_basis) for number, num_basis in enumerate([1, 2, 4] * 4)]
MIXED = [scored(n) if n % 3 == 0 else steered(n, 1 + n % 2) for n in range(10)]
UNRELATED = [PlannedTrial(number=n, key=f"trial-{n}") for n in range(5)]
NOTHING_IN_COMMON = [
    PlannedTrial(number=n, key=f"trial-{n}", stages=(PlannedStage(name="dense", key=f"dense-{n}"),))
    for n in range(6)
]
WORKLOADS = {
    "three selectors": TWELVE_TRIALS,
    "two methods": MIXED,
    "no shared stages": UNRELATED,
    "a stage for each trial": NOTHING_IN_COMMON,
}


def simulate(trials: list[PlannedTrial], *, slots: int, seed: int) -> list[WorkItem]:
    """Run all trials; items finish in a random order. Returns what ran, in the order it started."""
    order = random.Random(seed)
    waiting, built = {trial.number: trial for trial in trials}, set[str]()
    running: list[WorkItem] = []
    started: list[WorkItem] = []
    while waiting or running:
        while len(running) < slots:
            building = {item.key for item in running if item.kind is ItemKind.STAGE}
            item = choose_item(list(waiting.values()), built=built, running=building)
            if item is None:
                break
            if item.kind is ItemKind.TRIAL:
                assert all(stage.key in built for stage in waiting.pop(item.number).stages)
            running.append(item)
            started.append(item)
        assert running, "something must always run while trials wait"
        done = running.pop(order.randrange(len(running)))
        if done.kind is ItemKind.STAGE:
            built.add(done.key)
    return started


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_shared_stage_and_every_trial_runs_exactly_once(workload: str, slots: int, seed: int) -> None:
    trials = WORKLOADS[workload]
    started = simulate(trials, slots=slots, seed=seed)
    stage_keys = {stage.key for trial in trials for stage in trial.stages}
    assert sorted(item.key for item in started) == sorted([*stage_keys, *(trial.key for trial in trials)])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_choice_does_not_depend_on_the_order_in_which_trials_are_listed(order: tuple[int, ...]) -> None:
    trials = [TWELVE_TRIALS[index] for index in order]
    chosen = choose_item(trials, built={"dense", "predictor"}, running=set())
    assert chosen == choose_item(TWELVE_TRIALS[:3], built={"dense", "predictor"}, running=set())


def test_the_stage_that_most_trials_need_comes_first() -> None:
    waiting = [steered(0, 1), steered(1, 4), steered(2, 4)]
    chosen = choose_item(waiting, built={"dense", "predictor"}, running=set())
    assert chosen is not None
    assert (chosen.kind, chosen.key, chosen.number) == (ItemKind.STAGE, "selector-4", 1)


def test_another_selector_is_built_beside_the_first() -> None:
    waiting = [steered(0, 1), steered(1, 2)]
    chosen = choose_item(waiting, built={"dense", "predictor"}, running={"selector-1"})
    assert chosen is not None
    assert chosen.key == "selector-2"


def test_a_missing_stage_comes_before_a_ready_trial() -> None:
    waiting = [steered(0, 1), steered(1, 2)]
    chosen = choose_item(waiting, built={"dense", "predictor", "selector-1"}, running=set())
    assert chosen is not None
    assert chosen.key == "selector-2"


def test_a_ready_trial_runs_while_a_stage_is_built() -> None:
    waiting = [steered(0, 1), steered(1, 2)]
    chosen = choose_item(waiting, built={"dense", "predictor", "selector-1"}, running={"selector-2"})
    assert chosen is not None
    assert (chosen.kind, chosen.number) == (ItemKind.TRIAL, 0)


def test_ready_trials_start_in_the_order_of_their_numbers() -> None:
    waiting = [steered(7, 1), steered(3, 1), steered(5, 1)]
    chosen = choose_item(waiting, built={"dense", "predictor", "selector-1"}, running=set())
    assert chosen is not None
    assert chosen.number == 3


@pytest.mark.parametrize(
    ("built", "running"),
    [(set(), {"dense"}), ({"dense"}, {"predictor"}), ({"dense", "predictor"}, {"selector-1"})],
)
def test_nothing_is_chosen_while_all_wait_for_what_runs(built: set[str], running: set[str]) -> None:
    assert choose_item([steered(0, 1), steered(1, 1)], built=built, running=running) is None


def test_a_stage_whose_parent_is_not_built_does_not_start() -> None:
    chosen = choose_item([steered(0, 1)], built={"dense"}, running=set())
    assert chosen is not None
    assert chosen.key == "predictor"


@pytest.mark.parametrize("kind", list(ItemKind))
def test_items_survive_json(kind: ItemKind) -> None:
    item = WorkItem(kind=kind, name="dense", key="abc", number=3)
    assert WorkItem.from_plain(item.to_plain()) == item


def test_the_critical_path_is_the_longest_chain() -> None:
    seconds = {"dense": 3.0, "predictor": 2.0, "selector-1": 1.0, "selector-4": 5.0, "importance": 4.0}
    seconds |= {"trial-0": 10.0, "trial-1": 1.0, "trial-2": 2.0}
    trials = [steered(0, 1), steered(1, 4), scored(2)]
    assert critical_path_s(trials, seconds) == 3 + 2 + 1 + 10


def test_stages_that_do_not_depend_on_each_other_do_not_add_up() -> None:
    both = PlannedTrial(number=0, key="trial-0", stages=(DENSE, PREDICTOR, IMPORTANCE))
    assert critical_path_s([both], {"dense": 1, "predictor": 5, "importance": 7, "trial-0": 1}) == 9


def test_no_trials_have_no_critical_path() -> None:
    assert critical_path_s([], {}) == 0


SECONDS = {"dense": 3.0, "predictor": 2.0, "importance": 4.0, "selector-1": 7.0, "selector-2": 1.0}


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([steered(0, 1), steered(1, 2)], 3 + 2),
        ([steered(0, 1), steered(1, 1)], 3 + 2 + 7),
        ([steered(0, 1), scored(1)], 3),
        ([scored(0), scored(1)], 3 + 4),
        (NOTHING_IN_COMMON, 0),
        (UNRELATED, 0),
        ([], 0),
    ],
)
def test_only_what_everything_comes_after_is_serial(trials: list[PlannedTrial], expected: float) -> None:
    assert serial_prefix_s(trials, SECONDS) == expected
