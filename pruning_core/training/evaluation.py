"""How well a network classifies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.data import LabelledImages, Normalisation, iterate_batches, take
from pruning_core.distributed.processes import ALONE, Processes


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Result on ``num_images`` images; ``loss`` is their mean cross-entropy in nats."""

    num_images: int
    num_correct: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of images classified as labelled, in [0, 1]."""
        return self.num_correct / self.num_images


@torch.no_grad()
def evaluate(
    network: nn.Module,
    images: LabelledImages,
    normalisation: Normalisation,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 512,
    processes: Processes = ALONE,
) -> Evaluation:
    """Classify images without augmentation, in eval mode; modes of modules are as before afterwards.

    Of several processes each classifies images ``rank``, ``rank + count`` and so on; all return the same result.
    """
    own = images
    if processes.count > 1:
        own = take(images, torch.arange(processes.rank, len(images), processes.count))
    correct_and_loss = torch.zeros(2, dtype=torch.float64, device=device)
    network.to(device)
    with eval_mode(network):
        for batch in iterate_batches(own, normalisation, batch_size=batch_size, device=device):
            logits_NC = network(batch.images_NCHW)
            correct_and_loss[0] += (logits_NC.argmax(1) == batch.labels_N).sum()
            correct_and_loss[1] += F.cross_entropy(logits_NC.double(), batch.labels_N, reduction="sum")
    num_correct, total_loss = processes.sum(correct_and_loss).tolist()
    return Evaluation(num_images=len(images), num_correct=int(num_correct), loss=total_loss / len(images))


@torch.no_grad()
def predict_classes(
    network: nn.Module, images: LabelledImages, normalisation: Normalisation, *, batch_size: int = 512
) -> Tensor:
    """Return the class that a network on the CPU predicts for each image, ``_N``; modes are as before afterwards."""
    with eval_mode(network):
        batches = iterate_batches(images, normalisation, batch_size=batch_size)
        return torch.cat([network(batch.images_NCHW).argmax(1) for batch in batches])


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Put all modules in eval mode, and each back in its own mode at the end."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training
