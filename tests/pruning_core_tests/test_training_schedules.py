"""Learning-rate schedules in closed form."""

from __future__ import annotations

import math

import pytest

from pruning_core.config import TrainingConfig
from pruning_core.training import SCHEDULES, learning_rate_factor
from pruning_core.training.schedules import plan_learning_rate


def factors(schedule: str, *, num_steps: int = 100, num_warmup_steps: int = 0) -> list[float]:
    return [
        learning_rate_factor(step, num_steps=num_steps, num_warmup_steps=num_warmup_steps, schedule=schedule)
        for step in range(num_steps)
    ]


def test_cosine_falls_along_half_a_period() -> None:
    assert factors("cosine") == pytest.approx(
        [(1 + math.cos(math.pi * step / 100)) / 2 for step in range(100)]
    )


def test_step_is_a_tenth_from_half_and_a_hundredth_from_three_quarters() -> None:
    assert factors("step") == pytest.approx([1.0] * 50 + [0.1] * 25 + [0.01] * 25)


def test_constant_is_one() -> None:
    assert factors("constant") == [1.0] * 100


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_linearly_to_one(schedule: str) -> None:
    warm = factors(schedule, num_warmup_steps=20)
    assert warm[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert warm[20] == 1.0


def test_cosine_after_warm_up_is_the_cosine_of_the_steps_that_are_left() -> None:
    assert factors("cosine", num_warmup_steps=20)[20:] == pytest.approx(factors("cosine", num_steps=80))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("num_steps", "num_warmup_steps"), [(1, 0), (2, 1), (100, 0), (100, 50)])
def test_every_step_has_a_rate_above_zero_and_at_most_one(
    schedule: str, num_steps: int, num_warmup_steps: int
) -> None:
    assert all(0 < f <= 1 for f in factors(schedule, num_steps=num_steps, num_warmup_steps=num_warmup_steps))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_after_warm_up_the_rate_never_rises(schedule: str) -> None:
    cooled = factors(schedule, num_warmup_steps=10)[9:]
    assert cooled == sorted(cooled, reverse=True)


@pytest.mark.parametrize(
    ("epochs", "warmup_epochs", "num_warmup_steps"),
    [(20, 1.0, 8), (20, 0.0, 0), (20, 2.5, 20), (1, 1.0, 4), (2, 5, 8)],
)
def test_warm_up_is_counted_in_epochs_and_at_most_half_of_the_training(
    epochs: int, warmup_epochs: float, num_warmup_steps: int
) -> None:
    settings = TrainingConfig(epochs=epochs, warmup_epochs=warmup_epochs)
    assert plan_learning_rate(settings, steps_per_epoch=8).num_warmup_steps == num_warmup_steps


def test_the_learning_rate_is_the_peak_times_the_factor() -> None:
    schedule = plan_learning_rate(
        TrainingConfig(epochs=10, learning_rate=0.3, schedule="step"), steps_per_epoch=10
    )
    assert schedule.num_steps == 100
    assert [schedule.learning_rate(step) for step in (9, 49, 50, 80)] == pytest.approx(
        [0.3, 0.3, 0.03, 0.003]
    )
