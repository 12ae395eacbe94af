from __future__ import annotations

import pytest

from search.early_stopping.halving_settings import HalvingConfig
from search.effort import estimate_effort, mean_share_of_epochs

SECONDS = {"dense": 100.0, "selector": 20.0, "steer": 6.0, "fine_tune": 9.0}


def test_shared_stages_count_once_each_and_trials_by_their_own_stages() -> None:
    effort = estimate_effort(
        stage_seconds=SECONDS,
        num_shared_stages={"dense": 1, "selector": 3},
        halving=HalvingConfig(),
        num_epochs=9,
        num_trials=40,
        slots=4,
    )
    assert effort.shared_s == 100 + 3 * 20
    assert effort.trial_s == 15
    assert effort.work_s == 160 + 40 * 15
    assert effort.wall_s == 760 / 4


def test_no_number_of_slots_is_faster_than_one_stage_after_another() -> None:
    effort = estimate_effort(
        stage_seconds=SECONDS,
        num_shared_stages={"dense": 1, "selector": 3},
        halving=HalvingConfig(),
        num_epochs=9,
        num_trials=4,
        slots=100,
    )
    assert effort.wall_s == 100 + 20 + 15


@pytest.mark.parametrize(
    ("halving", "share"),
    [
        (HalvingConfig(), 1),
        (HalvingConfig(rule="all"), 1),
        (HalvingConfig(rule="stopping"), (1 + 2 / 3 + 6 / 9) / 9),
        (HalvingConfig(rule="promotion", eta=2, rungs=(4,)), (4 + 5 / 2) / 9),
        # brackets of 2 and 2 trials: one halving after 4 epochs, or none
        (HalvingConfig(rule="hyperband", eta=2, rungs=(4,)), (2 * (4 + 5 / 2) + 2 * 9) / 4 / 9),
    ],
)
def test_halving_saves_epochs(halving: HalvingConfig, share: float) -> None:
    assert mean_share_of_epochs(halving, 9) == pytest.approx(share)
