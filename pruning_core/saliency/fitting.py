"""The training loop that predictor and selector share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pruning_core.config import PredictorConfig, SelectorConfig
from pruning_core.data import Batch, DataSplits, iterate_batches
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.progress import StepReport
from pruning_core.strided_convolutions import guarded_strided_convolutions
from pruning_core.training import LossWatch


def fit(
    network: nn.Module,
    loss_of: Callable[[Batch], Tensor],
    data: DataSplits,
    settings: PredictorConfig | SelectorConfig,
    *,
    seed: int,
    stage: str,
    report: StepReport,
    processes: Processes = ALONE,
) -> None:
    """Minimise a loss over the training images with Adam, in place; the weights of the last step stay.

    The learning rate falls to zero along a cosine, so that the last step is a good one and none is chosen by
    looking at held-out images.

    Args:
        network: What learns, on the device where batches are wanted.
        loss_of: Scalar loss of one batch.
        data: Its training images, with its augmentation.
        settings: Epochs, batch size, learning rate and weight decay.
        seed: Of order, augmentation and dropout.
        stage: Named in the error and nowhere else.
        report: Told of every step as (done, total).
        processes: Learn together, each from its equal share of every batch. Batch normalisation sees each process's
            share alone; the running statistics are the first one's.

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
    step = 0
    with guarded_strided_convolutions(network), seeded_globally(seed + processes.rank, device):
        for _ in range(settings.epochs):
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
    watch.take_sum()
    processes.share_buffers(network)


@contextlib.contextmanager
def seeded_globally(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed what reads the global generator (dropout, default initialisation); give its state back afterwards."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
