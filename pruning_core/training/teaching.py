"""What a network in training learns from: labels, and a teacher's outputs and maps.

Shape suffixes used in this file:
    N  images in the batch
    C  classes, or channels of a map
    H, W  height and width of images and maps
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.config import TrainingConfig
from pruning_core.data import Batch
from pruning_core.errors import InvalidSettingsError
from pruning_core.precision import computing_in, in_single
from pruning_core.setting_types import Precision
from pruning_core.training.evaluation import eval_mode
from pruning_core.training.losses import classification_loss, feature_distance
from pruning_core.training.map_reader import MapReader


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Teacher:
    """A network to learn from.

    Attributes:
        network: Asked about the same augmented batches, in eval mode.
        layers: Modules of both networks whose outputs the student shall repeat (``distillation.features``).
        student_channels: Told a layer and the teacher's map of it, returns the channels that the student has.
    """

    network: nn.Module
    layers: tuple[str, ...] = ()
    student_channels: Callable[[str, Tensor], Tensor] = lambda _layer, map_NCHW: map_NCHW


class Lesson:
    """The loss of a batch.

    Args:
        student: The network in training, whose modules are read.
        learner: What is called in its place: itself, or its data-parallel self.
        teacher: Needed if, and used only if, the settings distil.
        settings: Of the loss.
        precision: Of passes through both networks; losses are in single precision.

    Raises:
        InvalidSettingsError: Distillation without a teacher.
    """

    def __init__(
        self,
        student: nn.Module,
        learner: nn.Module,
        teacher: Teacher | None,
        settings: TrainingConfig,
        precision: Precision,
    ) -> None:
        self._student, self._learner = student, learner
        self._teacher = _used(teacher, settings)
        self._layers = self._teacher.layers if self._teacher and settings.distillation.features > 0 else ()
        self._settings, self._precision = settings, precision

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of the student on a batch, differentiable in its weights."""
        logits_NC, maps = self._ask(self._learner, self._student, batch.images_NCHW)
        teacher, settings = self._teacher, self._settings
        if teacher is None:
            return classification_loss(logits_NC, batch.labels_N, settings)
        with torch.no_grad():
            wanted_NC, wanted_maps = self._ask(teacher.network, teacher.network, batch.images_NCHW)
        loss = classification_loss(logits_NC, batch.labels_N, settings, teacher_logits_NC=wanted_NC)
        if not maps:
            return loss
        seen = [
            teacher.student_channels(layer, wanted_NCHW)
            for layer, wanted_NCHW in zip(self._layers, wanted_maps, strict=True)
        ]
        return loss + settings.distillation.features * feature_distance(maps, seen)

    @contextmanager
    def teaching(self, device: str | torch.device) -> Iterator[None]:
        """Hold the teacher on the device and in eval mode."""
        if self._teacher is None:
            yield
            return
        self._teacher.network.to(device)
        with eval_mode(self._teacher.network):
            yield

    def _ask(
        self, called: nn.Module, read: nn.Module, images_NCHW: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        with computing_in(self._precision, images_NCHW.device), MapReader(read, self._layers) as reader:
            logits_NC = called(images_NCHW)
            maps = reader.maps()
        return in_single(logits_NC), tuple(in_single(map_NCHW) for map_NCHW in maps)


def _used(teacher: Teacher | None, settings: TrainingConfig) -> Teacher | None:
    """Return the teacher if it is used."""
    distillation = settings.distillation
    if distillation.is_used and teacher is None:
        raise InvalidSettingsError(
            "distillation.weight and distillation.features must be 0 where there is no network to learn from, but got "
            f"{distillation.weight:g} and {distillation.features:g}"
        )
    return teacher if distillation.is_used else None
