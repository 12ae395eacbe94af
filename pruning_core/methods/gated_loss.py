"""What narrowing every group at once costs the task, measured: the cross-entropy of the gated network.

The loss that ``PredictedLoss`` foretells from one measurement per group is measured here in every step, on the next
batch of training images, with all groups narrowed together. Weights stay frozen; batch normalisation uses the
statistics of the batch, as after the re-estimation that follows every removal.

After Guo et al. 2024 (the task's performance considered jointly in the allocation); formulas ours.

Shape suffixes used in this file:
    G  groups
    C  channels of the widest group
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from pruning_core.channels import GatePlaces
from pruning_core.data import Batch, iterate_batches, stratified_subset, take
from pruning_core.importance.sensitivity import with_batch_statistics
from pruning_core.methods.allocation import pad_log_scores
from pruning_core.methods.protocols import MethodContext
from pruning_core.methods.threshold_gate import threshold_gate
from pruning_core.strided_convolutions import guard_strided_convolutions

NUM_IMAGES = 2048
BATCH_SIZE = 64
_PRICE_BATCHES = 8
_LEAST_PRICE = 1e-3  # of the largest: no group's channels are free to remove


class GatedLoss:
    """Cross-entropy as a function of the groups' shares, a fresh batch at every call.

    Args:
        context: Network, groups, training images and the seed of their order; stays as it is.
        scores: Per group one number >= 0 per channel; the best of each group open first.
    """

    def __init__(self, context: MethodContext, scores: Mapping[str, Tensor]) -> None:
        self._context = context
        self._sizes = dict(zip(context.cost_model.names, context.cost_model.sizes, strict=True))
        self._log_score_GC = pad_log_scores([scores[name] for name in self._sizes])
        self._network = with_batch_statistics(context.network).requires_grad_(requires_grad=False)
        guard_strided_convolutions(self._network)
        self._places = GatePlaces(self._network, context.graph, self._sizes)
        self._batches = self._endless_batches()

    def __call__(self, share_G: Tensor, beta: float) -> Tensor:
        """Return the loss of gates with these shares and this sharpness; differentiable in the shares."""
        batch = next(self._batches)
        gates_GC = threshold_gate(share_G, self._log_score_GC, beta)
        gates = {
            name: gate_C[:size] for (name, size), gate_C in zip(self._sizes.items(), gates_GC, strict=True)
        }
        overrides = self._places.gate_weights(self._places.join(gates))
        logits_NK = functional_call(self._network, overrides, (batch.images_NCHW,))
        return F.cross_entropy(logits_NK, batch.labels_N).double().cpu()

    def prices(self, share_G: Tensor, beta: float) -> Tensor:
        """Return per group what one channel more would take off the loss at these shares; > 0, largest 1."""
        share_G = share_G.detach().clone().requires_grad_()
        total = torch.stack([self(share_G, beta) for _ in range(_PRICE_BATCHES)]).sum()
        (slope_G,) = torch.autograd.grad(total, share_G)
        price_G = -slope_G / torch.tensor(list(self._sizes.values()), dtype=torch.float64)
        largest = price_G.max()
        if largest <= 0:
            return torch.ones_like(price_G)
        return (price_G / largest).clamp_min(_LEAST_PRICE)

    def _endless_batches(self) -> Iterator[Batch]:
        data = self._context.data
        count = min(NUM_IMAGES, len(data.train))
        images = stratified_subset(data.train, count, self._context.config.seed)
        generator = torch.Generator().manual_seed(self._context.config.seed)
        while True:
            yield from iterate_batches(
                take(images, torch.randperm(count, generator=generator)),
                data.normalisation,
                batch_size=BATCH_SIZE,
                device=self._context.device,
            )
