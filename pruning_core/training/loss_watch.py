"""Sees that the losses of a training stay finite, without making an accelerator wait in every step."""

from __future__ import annotations

import torch
from torch import Tensor

from pruning_core.training.losses import refuse_non_finite

_STEPS_BETWEEN_READS = 32
"""On an accelerator. Reading a number waits for all work that was queued before it, and nothing is queued meanwhile."""


class LossWatch:
    """The losses of one training, step by step.

    On the CPU each is looked at before it is used, so that no weight is updated with one that is not finite. On an
    accelerator they are looked at some steps late, and always before ``take_sum`` returns: weights may have been
    updated by then, but the training ends with an error, and nothing of it is kept.

    Args:
        stage: Named in the error.
        device: Where losses are computed.
        interval: Steps between two looks; by default what suits the device.
    """

    def __init__(self, stage: str, device: str | torch.device, interval: int | None = None) -> None:
        self._stage = stage
        self._interval = interval or steps_between_reads(device)
        self._unread: list[tuple[int, Tensor]] = []
        self._sum = 0.0

    def see(self, loss: Tensor, step: int) -> None:
        """Take note of the loss of a step, before the update.

        Raises:
            NonFiniteLossError: It, or one before that had not been looked at, is NaN or infinite.
        """
        self._unread.append((step, loss.detach()))
        if len(self._unread) >= self._interval:
            self._read()

    def take_sum(self) -> float:
        """Return the sum of the losses since the last call, having looked at all of them.

        Raises:
            NonFiniteLossError: One is NaN or infinite.
        """
        self._read()
        total, self._sum = self._sum, 0.0
        return total

    def _read(self) -> None:
        if not self._unread:
            return
        values: list[float] = torch.stack([loss for _, loss in self._unread]).tolist()
        for (step, _), value in zip(self._unread, values, strict=True):
            refuse_non_finite(value, stage=self._stage, step=step)
            self._sum += value
        self._unread.clear()


def steps_between_reads(device: str | torch.device) -> int:
    """Return how many losses are looked at together: one on the CPU, where looking costs nothing."""
    return 1 if torch.device(device).type == "cpu" else _STEPS_BETWEEN_READS
