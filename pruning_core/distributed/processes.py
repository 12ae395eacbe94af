"""The processes that share one pruning run, as one of them sees them.

What several processes can do together takes a ``Processes``, by default ``ALONE``. There is no hidden state: a function
that is not told of the others does not wait for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pruning_core.errors import InvalidSettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """``count`` processes, of which this is number ``rank``, from 0.

    Whatever one of them asks of the others, all must ask at the same place. ``waiting_group``: for waits that may take
    as long as a stage; None where there is nobody to wait for.
    """

    rank: int = 0
    count: int = 1
    waiting_group: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this one writes and prints for all."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> slice:
        """Return which images of a batch are this process's.

        Raises:
            InvalidSettingsError: The shares would differ, and the mean of their losses would not be the batch's.
        """
        if batch_size % self.count != 0:
            raise InvalidSettingsError(
                f"a batch must divide equally between {self.count} processes, but one has {batch_size} images; "
                f"set batch_size to a multiple of {self.count} and at most the number of training images"
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def data_parallel(self, network: nn.Module) -> nn.Module:
        """Return the module to call in training; its backward pass averages gradients over the processes.

        All start from the first process's parameters and buffers. Batch normalisation stays each process's own: it
        normalises by the statistics of that process's share of the batch.
        """
        if self.count == 1:
            return network
        return nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)

    def average_gradients(self, network: nn.Module) -> None:
        """Average gradients over the processes, for losses that do not come from one call of the network."""
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        if self.count == 1 or not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        for gradient, mean in zip(
            gradients, torch.split(flat, [one.numel() for one in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def share_buffers(self, network: nn.Module) -> None:
        """Give all processes the buffers of the first: the running statistics of its shares of the batches."""
        if self.count > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes; the value stays as it is, and no gradient flows."""
        return value if self.count == 1 else self.sum(value) / self.count

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of a value over the processes; the value stays as it is, and no gradient flows."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    def agree(self, *, answer: bool) -> bool:
        """Return the first process's answer to a question that the others might answer otherwise."""
        if self.count == 1:
            return answer
        answers = [answer]
        dist.broadcast_object_list(answers, src=0, group=self.waiting_group)
        return answers[0]

    def wait(self) -> None:
        """Wait until all have come here, however long it takes; one that ends before ends the wait with an error."""
        if self.count > 1:
            dist.barrier(self.waiting_group)


ALONE = Processes()
"""One process that does everything itself."""
