"""Training a classifier: dense networks and slim ones.

Shape suffixes used in this file:
    N  images in the batch
    C  colour channels, or classes of logits
    H, W  image height and width in pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from pruning_core.config import TrainingConfig
from pruning_core.data import DataSplits, iterate_batches
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import InvalidSettingsError
from pruning_core.progress import StepReport, report_no_step
from pruning_core.setting_types import Precision
from pruning_core.strided_convolutions import guarded_strided_convolutions
from pruning_core.training.batch_norm import BATCH_NORMS
from pruning_core.training.loss_watch import LossWatch
from pruning_core.training.schedules import plan_learning_rate
from pruning_core.training.state import TrainingState, capture_state, restore_state
from pruning_core.training.teaching import Teacher, taught_by


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingHistory:
    """Mean loss of each epoch, as trained on (augmented images, smoothed labels, distillation).

    ``state``: what the training can go on from, where it was told to pause.
    """

    losses: tuple[float, ...]
    num_steps: int
    state: TrainingState | None = None


def train_classifier(  # noqa: PLR0913 # what to train, and where and how it runs
    network: nn.Module,
    data: DataSplits,
    settings: TrainingConfig,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    teacher: Teacher | None = None,
    precision: Precision = "float32",
    compiler: str | None = None,
    report: StepReport = report_no_step,
    processes: Processes = ALONE,
    start: TrainingState | None = None,
    until: int | None = None,
    see_state: Callable[[TrainingState], None] | None = None,
) -> TrainingHistory:
    """Train ``network`` in place on the training images; the last epoch is kept, nothing is chosen.

    On the CPU, a training that pauses and goes on from its state, in this process or another one, gives the weights
    that it would have given in one go, bit by bit; of several processes with dropout, others that are as good.

    SGD with Nesterov momentum. Weight decay acts on convolution and linear weights only, not on biases and
    normalisation. A last batch that is not full is left out, unless it is the only one.

    Args:
        network: Moved to the device, channels-last, and left in training mode.
        data: Only the training images are read.
        settings: See ``TrainingConfig``.
        seed: Of order, augmentation and dropout. On the CPU, the same seed gives the same weights.
        device: Where to train.
        teacher: Needed if, and used only if, ``settings.distillation`` asks for it.
        precision: Of passes through the networks; weights and losses are in single precision.
        compiler: A backend of ``torch.compile`` for both networks; None runs them as they are.
        report: Called with (done, total) steps after each epoch; may raise to stop.
        processes: Train one network together, each on its equal share of every batch. Without batch normalisation
            and dropout the weights are those of one process, to rounding; batch normalisation sees each process's
            share alone, and the running statistics are the first one's.
        start: Go on from here instead of from the network's own weights; of several processes, all from the same.
        until: Pause after so many epochs, counted from the beginning, without moving the schedule; for one process
            alone. None: train to the end.
        see_state: Called between two epochs with what the training could go on from.

    Raises:
        InvalidSettingsError: Distillation without a teacher, batches of one image with batch normalisation,
            batches that do not divide between the processes, or an unknown compiler.
        NonFiniteLossError: The loss became NaN or infinite. On the CPU no weight was updated with it; elsewhere see
            ``LossWatch``.
    """
    assert processes.count == 1 or until is None, "one process alone pauses"
    _check_batch_size(network, settings, processes)
    network.to(device).to(memory_format=torch.channels_last)
    network.train()
    optimiser = make_optimiser(network, settings)
    steps_per_epoch = max(1, len(data.train) // settings.batch_size)
    schedule = plan_learning_rate(settings, steps_per_epoch)
    generator = torch.Generator().manual_seed(seed)
    watch = LossWatch("classifier training", device)
    device = torch.device(device)
    losses = list(start.losses) if start is not None else []
    state = None
    with (
        guarded_strided_convolutions(network),
        _own_random_state(seed + processes.rank, device),
        taught_by(
            teacher,
            network,
            processes.data_parallel(network),
            settings,
            device=device,
            precision=precision,
            compiler=compiler,
        ) as loss_of,
    ):
        if start is not None:
            restore_state(start, network, optimiser, {"order": generator}, device)
            if not processes.is_first:  # whose draws the state has
                torch.manual_seed(seed + processes.rank + processes.count * start.epochs)
        last = settings.epochs if until is None else until
        for epoch in range(len(losses), last):
            batches = iterate_batches(
                data.train,
                data.normalisation,
                batch_size=settings.batch_size,
                device=device,
                generator=generator,
                augmentation=data.augmentation,
                drop_last=len(data.train) > settings.batch_size,
                processes=processes,
            )
            for step, batch in enumerate(batches, start=epoch * steps_per_epoch):
                for group in optimiser.param_groups:
                    group["lr"] = schedule.learning_rate(step)
                loss = loss_of(batch)
                watch.see(processes.mean(loss), step)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimiser.step()
            losses.append(watch.take_sum() / steps_per_epoch)
            report((epoch + 1) * steps_per_epoch, schedule.num_steps)
            if see_state is not None and epoch + 1 < last:
                see_state(capture_state(network, optimiser, {"order": generator}, device, tuple(losses)))
        if until is not None:
            state = capture_state(network, optimiser, {"order": generator}, device, tuple(losses))
    processes.share_buffers(network)
    return TrainingHistory(losses=tuple(losses), num_steps=schedule.num_steps, state=state)


def make_optimiser(network: nn.Module, settings: TrainingConfig) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum; weight decay acts on convolution and linear weights only."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )


def _check_batch_size(network: nn.Module, settings: TrainingConfig, processes: Processes) -> None:
    if not any(isinstance(module, BATCH_NORMS) for module in network.modules()):
        return
    if settings.batch_size < 2 * processes.count:
        shared = f" by {processes.count} processes" if processes.count > 1 else ""
        raise InvalidSettingsError(
            f"batch_size must be at least {2 * processes.count} to train a network with batch normalisation{shared}, "
            f"but got {settings.batch_size}"
        )


@contextmanager
def _own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what dropout draws from, and restore it afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
