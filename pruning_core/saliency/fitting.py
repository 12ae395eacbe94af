"""The training loop that predictor and selector share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from pruning_core.config import PredictorConfig, SelectorConfig
from pruning_core.data import Batch, DataSplits, iterate_batches
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.progress import StepReport
from pruning_core.strided_convolutions import guarded_strided_convolutions
from pruning_core.training import LossWatch, TrainingState, capture_state, restore_state

_LEARNING_RATE = "schedule.learning_rate"


def fit(  # noqa: PLR0913 # what to fit, and where and how it runs
    network: nn.Module,
    loss_of: Callable[[Batch], Tensor],
    data: DataSplits,
    settings: PredictorConfig | SelectorConfig,
    *,
    seed: int,
    noise: torch.Generator,
    stage: str,
    report: StepReport,
    processes: Processes = ALONE,
    start: TrainingState | None = None,
    see_state: Callable[[TrainingState], None] | None = None,
) -> None:
    """Minimise a loss over the training images with Adam, in place; the weights of the last step stay.

    The learning rate falls to zero along a cosine, so that the last step is a good one and none is chosen by
    looking at held-out images. On the CPU, a training that goes on from its state gives the weights that it would have
    given in one go, bit by bit; of several processes, others that are as good.

    Args:
        network: What learns, on the device where batches are wanted.
        loss_of: Scalar loss of one batch.
        data: Its training images, with its augmentation.
        settings: Epochs, batch size, learning rate and weight decay.
        seed: Of order, augmentation and dropout.
        noise: What the loss draws from besides; seeded with the seed and the process's rank.
        stage: Named in the error and nowhere else.
        report: Told of every step as (done, total).
        processes: Learn together, each from its equal share of every batch. Batch normalisation sees each process's
            share alone; the running statistics are the first one's.
        start: Go on from here; of several processes, all from the same.
        see_state: Called between two epochs with what the training could go on from.

    Raises:
        InvalidSettingsError: Batches do not divide between the processes.
        NonFiniteLossError: The loss became NaN or infinite. On the CPU no weight was updated with it; elsewhere see
            ``LossWatch``.
    """
    device = next(network.parameters()).device
    drop_last = len(data.train) >= settings.batch_size  # a last batch of one image breaks batch normalisation
    num_batches = max(1, len(data.train) // settings.batch_size)
    num_steps = settings.epochs * num_batches
    optimiser = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_steps)
    order = torch.Generator().manual_seed(seed)
    watch = LossWatch(stage, device)
    generators = {"order": order, "noise": noise}
    losses = list(start.losses) if start is not None else []
    step = len(losses) * num_batches
    with guarded_strided_convolutions(network), seeded_globally(seed + processes.rank, device):
        if start is not None:
            restore_state(start, network, optimiser, generators, device)
            _go_on_at(schedule, step, start.tensors[_LEARNING_RATE].item())
            if not processes.is_first:  # whose draws the state has
                new_seed = seed + processes.rank + processes.count * start.epochs
                torch.manual_seed(new_seed)
                noise.manual_seed(new_seed)
        for epoch in range(len(losses), settings.epochs):
            for batch in iterate_batches(
                data.train,
                data.normalisation,
                batch_size=settings.batch_size,
                device=device,
                generator=order,
                augmentation=data.augmentation,
                drop_last=drop_last,
                processes=processes,
            ):
                loss = loss_of(batch)
                watch.see(processes.mean(loss), step)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                processes.average_gradients(network)
                optimiser.step()
                schedule.step()
                step += 1
                report(step, num_steps)
            losses.append(watch.take_sum() / num_batches)
            if see_state is not None and epoch + 1 < settings.epochs:
                state = capture_state(network, optimiser, generators, device, tuple(losses))
                rate = torch.tensor(schedule.get_last_lr()[0], dtype=torch.float64)
                see_state(replace(state, tensors={**state.tensors, _LEARNING_RATE: rate}))
    processes.share_buffers(network)


def _go_on_at(schedule: torch.optim.lr_scheduler.CosineAnnealingLR, step: int, learning_rate: float) -> None:
    """Put a schedule behind a step; its rates follow from each other, so the last one is part of where it is."""
    schedule.load_state_dict(
        {**schedule.state_dict(), "last_epoch": step, "_step_count": step + 1, "_last_lr": [learning_rate]}
    )
    for group in schedule.optimizer.param_groups:
        group["lr"] = learning_rate


@contextlib.contextmanager
def seeded_globally(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed what reads the global generator (dropout, default initialisation); give its state back afterwards."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
