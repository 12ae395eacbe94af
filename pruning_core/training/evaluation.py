"""How well a network classifies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pruning_core.data import LabelledImages, Normalisation, iterate_batches


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
) -> Evaluation:
    """Classify images without augmentation, in eval mode; modes of modules are as before afterwards."""
    num_correct, total_loss = 0, 0.0
    network.to(device)
    with eval_mode(network):
        for batch in iterate_batches(images, normalisation, batch_size=batch_size, device=device):
            logits_NC = network(batch.images_NCHW)
            num_correct += int((logits_NC.argmax(1) == batch.labels_N).sum())
            total_loss += float(F.cross_entropy(logits_NC.double(), batch.labels_N, reduction="sum"))
    return Evaluation(num_images=len(images), num_correct=num_correct, loss=total_loss / len(images))


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
