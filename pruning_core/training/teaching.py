"""What a network in training learns from: labels, and a teacher's outputs and maps.

Shape suffixes used in this file:
    N  images in the batch
    C  classes, or channels of a map
    H, W  height and width of images and maps
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.compiling import compiled
from pruning_core.config import TrainingConfig
from pruning_core.data import Batch
from pruning_core.errors import InvalidSettingsError
from pruning_core.precision import in_single, run_in
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


@contextmanager
def taught_by(
    teacher: Teacher | None,
    student: nn.Module,
    learner: nn.Module,
    settings: TrainingConfig,
    *,
    device: str | torch.device,
    precision: Precision,
    compiler: str | None,
) -> Iterator[Callable[[Batch], Tensor]]:
    """Give the function of a batch to the loss of the student, differentiable in its weights.

    Args:
        teacher: Needed if, and used only if, the settings distil; on the device and in eval mode inside the context.
        student: The network in training, whose modules are read.
        learner: What is called in its place: itself, its data-parallel self, compiled or not.
        settings: Of the loss.
        device: Where the student is.
        precision: Of passes through both networks; losses are in single precision.
        compiler: A backend of ``torch.compile`` for both networks; None runs them as they are.

    Raises:
        InvalidSettingsError: Distillation without a teacher, or an unknown compiler.
    """
    teacher = _used(teacher, settings)
    layers = teacher.layers if teacher is not None and settings.distillation.features > 0 else ()
    with ExitStack() as held:
        # hooks before compilation: what is compiled is the network with its hooks
        student_reader = held.enter_context(MapReader(student, layers))
        trained = held.enter_context(compiled(learner, compiler))
        if teacher is None:
            yield lambda batch: classification_loss(
                run_in(precision, trained, batch.images_NCHW), batch.labels_N, settings
            )
            return
        teacher.network.to(device)
        held.enter_context(eval_mode(teacher.network))
        teacher_reader = held.enter_context(MapReader(teacher.network, layers))
        asked = held.enter_context(compiled(teacher.network, compiler))

        def loss(batch: Batch) -> Tensor:
            with torch.no_grad():
                wanted_NC = run_in(precision, asked, batch.images_NCHW)
            came_NC = run_in(precision, trained, batch.images_NCHW)
            total = classification_loss(came_NC, batch.labels_N, settings, teacher_logits_NC=wanted_NC)
            if not layers:
                return total
            wanted = map(teacher.student_channels, layers, teacher_reader.maps())
            return total + settings.distillation.features * feature_distance(
                [in_single(map_NCHW) for map_NCHW in student_reader.maps()],
                [in_single(map_NCHW) for map_NCHW in wanted],
            )

        yield loss


def _used(teacher: Teacher | None, settings: TrainingConfig) -> Teacher | None:
    """Return the teacher if it is used."""
    distillation = settings.distillation
    if distillation.is_used and teacher is None:
        raise InvalidSettingsError(
            "distillation.weight and distillation.features must be 0 where there is no network to learn from, but got "
            f"{distillation.weight:g} and {distillation.features:g}"
        )
    return teacher if distillation.is_used else None
