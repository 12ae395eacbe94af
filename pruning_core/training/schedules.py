"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pruning_core.config import TrainingConfig


def learning_rate_factor(step: int, *, num_steps: int, num_warmup_steps: int, schedule: str) -> float:
    """Return what the learning rate is multiplied by at ``step`` (from 0) of ``num_steps``.

    During warm-up it rises linearly and reaches 1 at the last warm-up step; then the schedule takes over. It is
    positive at every step.
    """
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    return SCHEDULES[schedule](step, num_steps, num_warmup_steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRateSchedule:
    """The learning rate of every step of a training."""

    peak: float
    num_steps: int
    num_warmup_steps: int
    name: str

    def learning_rate(self, step: int) -> float:
        """Return the learning rate at a step, counted from 0."""
        return self.peak * learning_rate_factor(
            step, num_steps=self.num_steps, num_warmup_steps=self.num_warmup_steps, schedule=self.name
        )


def plan_learning_rate(settings: TrainingConfig, steps_per_epoch: int) -> LearningRateSchedule:
    """Lay a schedule over a training; warm-up is at most half of it, so that short ones end on low rates."""
    num_steps = settings.epochs * steps_per_epoch
    return LearningRateSchedule(
        peak=settings.learning_rate,
        num_steps=num_steps,
        num_warmup_steps=min(round(settings.warmup_epochs * steps_per_epoch), num_steps // 2),
        name=settings.schedule,
    )


def _cosine(step: int, num_steps: int, num_warmup_steps: int) -> float:
    progress = (step - num_warmup_steps) / (num_steps - num_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


def _step(step: int, num_steps: int, num_warmup_steps: int) -> float:  # noqa: ARG001  # counted from the start
    return 0.1 ** ((2 * step >= num_steps) + (4 * step >= 3 * num_steps))


def _constant(step: int, num_steps: int, num_warmup_steps: int) -> float:  # noqa: ARG001  # does not depend on it
    return 1.0


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "cosine": _cosine,
    "step": _step,
    "constant": _constant,
}
"""Called with the step, the number of steps and the number of warm-up steps."""
