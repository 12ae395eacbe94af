from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.studies.view import BoundedHistory, StudyView

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)


Outcome = tuple[float, float] | TrialState


def study_of(*values: Outcome, constraint: float = 0.0) -> optuna.Study:
    study = optuna.create_study(directions=DIRECTIONS)
    for index, one in enumerate(values):
        study.add_trial(
            optuna.trial.create_trial(
                state=one if isinstance(one, TrialState) else TrialState.COMPLETE,
                values=None if isinstance(one, TrialState) else one,
                params={"x": index / 100},
                distributions={"x": FloatDistribution(0, 1)},
                constraints={} if isinstance(one, TrialState) else {"budgets": constraint},
            )
        )
    return study


def numbers(trials: Sequence[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


FRONT_FIRST = [(0.9, 1.0), (0.8, 0.5), *[(0.1, 2.0 + index) for index in range(8)]]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, range(10)),
        (10, range(10)),
        (4, [0, 1, 8, 9]),  # the front, and the newest of the others
        (2, [1, 9]),  # of the front its newest, and no more than half
    ],
)
def test_of_a_long_history_the_front_and_the_newest_stay(
    limit: int | None, expected: range | list[int]
) -> None:
    study = study_of(*FRONT_FIRST)
    assert numbers(BoundedHistory(limit).shown(study.trials, DIRECTIONS)) == list(expected)


def test_networks_that_miss_a_constraint_are_no_front() -> None:
    study = study_of(*FRONT_FIRST, constraint=0.1)
    assert numbers(BoundedHistory(4).shown(study.trials, DIRECTIONS)) == [6, 7, 8, 9]


def test_running_trials_are_always_seen() -> None:
    study = study_of(TrialState.RUNNING, *FRONT_FIRST, TrialState.RUNNING)
    assert numbers(BoundedHistory(2).shown(study.trials, DIRECTIONS)) == [0, 2, 10, 11]


def test_a_view_shows_its_trials_only_and_writes_to_the_study() -> None:
    study = study_of(*FRONT_FIRST, TrialState.RUNNING)
    view = StudyView(study, lambda: study.trials[:3])
    assert numbers(view.get_trials()) == [0, 1, 2]
    assert numbers(view.get_trials(states=(TrialState.RUNNING,))) == []
    view.set_user_attr("seen", 3)
    assert study.user_attrs == {"seen": 3}
    assert len(study.trials) == 11


def test_what_a_view_shows_is_chosen_once_and_only_if_it_is_looked_at() -> None:
    study = study_of(*FRONT_FIRST)
    chosen = []

    def choose() -> list[FrozenTrial]:
        chosen.append(len(study.trials))
        return study.trials[:3]

    view = StudyView(study, choose)
    assert view.directions == study.directions
    assert chosen == []
    assert numbers(view.get_trials()) == numbers(view.get_trials()) == [0, 1, 2]
    assert chosen == [10]


def test_what_is_shown_does_not_depend_on_how_often_it_was_asked_for() -> None:
    values = [((index * 7 % 40) / 40, (index * 11 % 40) / 40) for index in range(40)]
    study = study_of(*values)
    kept = BoundedHistory(10)
    for end in range(1, 41):
        seen = kept.shown(study.trials[:end], DIRECTIONS)
        assert numbers(seen) == numbers(BoundedHistory(10).shown(study.trials[:end], DIRECTIONS))


def test_trials_that_finish_out_of_order_are_shown_as_if_seen_at_once() -> None:
    values = [((index * 7 % 40) / 40, (index * 11 % 40) / 40) for index in range(40)]
    kept = BoundedHistory(6)
    for end in range(1, 41):
        rng = np.random.default_rng(end // 10)  # some of the trials of ten calls take that long
        is_slow = rng.random(40) < 0.3
        outcomes: list[Outcome] = [
            TrialState.RUNNING if is_slow[index] and index >= end // 10 * 10 else values[index]
            for index in range(end)
        ]
        trials = study_of(*outcomes).trials
        assert numbers(kept.shown(trials, DIRECTIONS)) == numbers(BoundedHistory(6).shown(trials, DIRECTIONS))


@pytest.mark.parametrize("limit", [None, 4])
def test_hidden_trials_are_not_shown_and_take_no_room(limit: int | None) -> None:
    study = study_of(*FRONT_FIRST, TrialState.RUNNING)
    seen = BoundedHistory(limit, lambda trial: trial.number in {0, 9, 10}).shown(study.trials, DIRECTIONS)
    assert numbers(seen) == (list(range(1, 9)) if limit is None else [1, 6, 7, 8])
