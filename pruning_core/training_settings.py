"""Settings of training a classifier: the dense network, and the slim one after removal. This file loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pruning_core.setting_types import NonNegativeFloat, PositiveFloat, PositiveInt, Settings, UnitInterval


class DistillationConfig(Settings):
    """Learn from the dense network beside the labels: from its outputs, and from what it sees on the way to them.

    Loss = ``(1 - weight) * cross_entropy + weight * temperature**2 * KL(teacher || student) + features * distance``;
    the distance is the squared error of the kept channels of the last map of each size, as a share of their energy.
    """

    weight: UnitInterval = 0.0
    temperature: PositiveFloat = 2.0
    features: NonNegativeFloat = 0.0

    @property
    def is_used(self) -> bool:
        """Whether there is anything to learn from the dense network."""
        return self.weight > 0 or self.features > 0


class TrainingConfig(Settings):
    """SGD with momentum. ``schedule``: ``cosine`` after ``warmup_epochs`` of linear warm-up, or ``step``
    (x0.1 at 50 % and 75 % of the epochs), or ``constant``. The learning rate moves every step.
    """

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NonNegativeFloat = 5e-4
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: NonNegativeFloat = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    distillation: DistillationConfig = DistillationConfig()
