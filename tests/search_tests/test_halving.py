from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from reports.objectives import Direction
from search.early_stopping.brackets import bracket_of
from search.early_stopping.halving import HALVINGS, HalvingRule, RungState, Verdicts
from search.early_stopping.rung import Rung, RungResult

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def rule(name: str) -> HalvingRule:
    found = HALVINGS[name]
    assert found is not None
    return found


def losses(*values: float) -> list[RungResult]:
    """Trials 0, 1, 2, ... with one loss each."""
    return [RungResult(number=number, values=(value,)) for number, value in enumerate(values)]


def decide(
    name: str,
    rungs: Mapping[int, Sequence[RungResult]],
    waiting: Mapping[int, int],
    *,
    eta: int = 3,
    is_last: bool = False,
    directions: tuple[Direction, ...] = (DOWN,),
) -> Verdicts:
    """Decide about trials that wait, by number the rung that they are at."""
    found = rule(name)
    num_brackets = len(rungs) + 1 if found.has_brackets else 1
    brackets = [{epochs: Rung(directions) for epochs in sorted(rungs)} for _ in range(num_brackets)]
    for epochs, results in rungs.items():
        for result in results:
            bracket = bracket_of(result.number, len(rungs), eta) if found.has_brackets else 0
            rung = brackets[bracket][epochs]
            rung.add(result)
            if waiting.get(result.number) == epochs:
                rung.hold(result.number)
    return found.decide(RungState(brackets=brackets, eta=eta, is_last=is_last))


def decide_one_by_one(results: Sequence[RungResult], eta: int) -> list[int]:
    """Let trials come to one rung; return those that the stopping rule lets go on."""
    gone_on: list[int] = []
    for place, result in enumerate(results):
        verdicts = decide("stopping", {1: results[: place + 1]}, {result.number: 1}, eta=eta)
        assert len(verdicts.go_on) + len(verdicts.stop) == 1
        gone_on += verdicts.go_on
    return gone_on


@pytest.mark.parametrize(
    ("values", "gone_on"),
    [
        ((5, 4, 3, 2, 1), [0, 1, 2, 3, 4]),  # each the best so far
        ((1, 2, 3, 4, 5), [0]),
        ((1, 9, 9, 9, 9, 2), [0, 5]),  # of six, the best two
        ((1, 9, 9, 9, 2), [0]),  # of five, the best one
    ],
)
def test_the_stopping_rule_compares_a_trial_with_those_before_it(
    values: tuple[float, ...], gone_on: list[int]
) -> None:
    assert decide_one_by_one(losses(*values), eta=3) == gone_on


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_a_stopping_verdict_is_the_same_whenever_it_is_asked_for(eta: int) -> None:
    order = random.Random(eta)
    results = losses(*(order.random() for _ in range(40)))
    at_once = decide("stopping", {1: results}, dict.fromkeys(range(40), 1), eta=eta)
    assert list(at_once.go_on) == decide_one_by_one(results, eta)
    assert sorted(at_once.go_on + at_once.stop) == list(range(40))


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_about_one_in_eta_goes_on(eta: int) -> None:
    order = random.Random(eta)
    results = losses(*(order.random() for _ in range(240)))
    verdicts = decide("stopping", {1: results}, dict.fromkeys(range(240), 1), eta=eta)
    assert len(verdicts.go_on) == pytest.approx(240 / eta, rel=0.2)


@pytest.mark.parametrize(("num_results", "gone_on"), [(1, ()), (2, ()), (3, (2,)), (5, (4,)), (6, (4, 5))])
def test_the_promotion_rule_waits_until_the_rung_is_full_enough(
    num_results: int, gone_on: tuple[int, ...]
) -> None:
    results = losses(*range(num_results, 0, -1))  # later ones are better
    verdicts = decide("promotion", {1: results}, dict.fromkeys(range(num_results), 1))
    assert (verdicts.go_on, verdicts.stop) == (gone_on, ())


def test_those_who_went_on_still_count_in_the_rung() -> None:
    results = losses(1, 2, 3, 4, 5, 6)
    assert decide("promotion", {1: results}, dict.fromkeys(range(1, 6), 1)).go_on == (1,)
    assert decide("promotion", {1: results}, dict.fromkeys(range(2, 6), 1)).go_on == ()


def test_the_furthest_go_on_first() -> None:
    rungs = {1: losses(1, 2, 3, 4, 5, 6, 7, 8, 9), 3: losses(1, 2, 3)}
    waiting = {0: 3, 1: 3, 2: 3, **dict.fromkeys(range(3, 9), 1)}
    for name in ("promotion", "stopping", "all"):
        assert decide(name, rungs, waiting).go_on[0] == 0
    fresh = {1: [*losses(1, 2, 3, 4, 5), *[RungResult(number=9, values=(0,))]], 3: losses(1, 2, 3)}
    assert decide("promotion", fresh, {0: 3, 9: 1}).go_on == (0, 9)


def test_a_search_of_few_trials_still_ends_with_a_network() -> None:
    rungs = {1: losses(4, 3), 3: [RungResult(number=7, values=(1.0,))]}
    waiting = {0: 1, 1: 1, 7: 3}
    assert decide("promotion", rungs, waiting) == Verdicts()
    assert decide("promotion", rungs, waiting, is_last=True) == Verdicts(go_on=(7, 1))
    assert decide("promotion", rungs, {0: 1}, is_last=True) == Verdicts(stop=(0,))


def test_every_objective_counts_in_its_direction() -> None:
    results = [
        RungResult(number=0, values=(0.9, 100)),
        RungResult(number=1, values=(0.5, 10)),
        RungResult(number=2, values=(0.4, 20)),  # worse than 1 in both
        RungResult(number=3, values=(0.8, 120)),  # worse than 0 in both
    ]
    verdicts = decide("promotion", {1: results}, dict.fromkeys(range(4), 1), eta=2, directions=(UP, DOWN))
    assert verdicts.go_on == (0, 1)


def test_what_breaks_a_limit_on_costs_comes_last() -> None:
    results = [
        RungResult(number=0, values=(0.0,), is_out=True),
        *(RungResult(number=number, values=(number,)) for number in (1, 2, 3, 4, 5)),
    ]
    assert decide("promotion", {1: results}, dict.fromkeys(range(6), 1)).go_on == (1, 2)
    assert decide("promotion", {1: results[:1]}, {0: 1}, is_last=True).go_on == (0,)


@pytest.mark.parametrize("name", [name for name, found in HALVINGS.items() if found is not None])
@pytest.mark.parametrize("seed", range(4))
def test_every_rule_brings_every_trial_to_an_end(name: str, seed: int) -> None:
    order, rungs = random.Random(seed), (1, 3, 9)
    results: dict[int, list[RungResult]] = {epochs: [] for epochs in rungs}
    waiting: dict[int, int] = {}
    climbing = [(number, 0) for number in range(25)]
    ended: dict[int, str] = {}
    while climbing or waiting:
        if climbing:
            number, level = climbing.pop(order.randrange(len(climbing)))
            results[rungs[level]].append(RungResult(number=number, values=(order.random(), order.random())))
            waiting[number] = rungs[level]
        verdicts = decide(name, results, waiting, is_last=not climbing, directions=(UP, DOWN))
        assert not set(verdicts.go_on) & set(verdicts.stop)
        assert climbing or verdicts.go_on or verdicts.stop, "nothing may wait for ever"
        for number in (*verdicts.go_on, *verdicts.stop):
            level = rungs.index(waiting.pop(number)) + 1
            if number in verdicts.stop:
                ended[number] = "stopped"
            elif level == len(rungs):
                ended[number] = "complete"
            else:
                climbing.append((number, level))
    assert len(ended) == 25
    assert 1 <= sum(end == "complete" for end in ended.values()) <= (25 if name == "all" else 8)


def test_hyperband_judges_a_trial_among_its_bracket_from_the_brackets_first_rung_on() -> None:
    eta, rungs = 2, (1, 2)
    by_bracket: dict[int, list[int]] = {bracket: [] for bracket in range(3)}
    for number in range(40):
        by_bracket[bracket_of(number, len(rungs), eta)].append(number)
    results = {
        epochs: [RungResult(number=number, values=(float(number),)) for number in range(40)]
        for epochs in rungs
    }

    def gone_on(epochs: int, numbers: Sequence[int]) -> list[int]:
        found = decide("hyperband", results, dict.fromkeys(numbers, epochs), eta=eta)
        assert sorted(found.go_on + found.stop) == sorted(numbers)
        return sorted(found.go_on)

    early, late, never = by_bracket[0], by_bracket[1], by_bracket[2]
    assert gone_on(1, early) == early[:1], (
        "losses rise, so only the first was ever among the best half before it"
    )
    assert gone_on(1, late) == late, "their first rung is a later one"
    assert gone_on(2, late) == late[:1]
    assert gone_on(2, never) == never
    assert gone_on(1, range(40)) == sorted([*early[:1], *late, *never])
