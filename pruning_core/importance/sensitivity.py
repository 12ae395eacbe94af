"""How much the task suffers when one group keeps only its better half.

The loss is taken with batch normalisation on the statistics of the batch itself, as after the re-estimation that
follows every removal; with the stored statistics each group would look far more fragile than it is.

Shape suffixes used in this file:
    C  channels of the group
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.channels.weight_gates import gate_weights
from pruning_core.data import Batch, iterate_batches, stratified_subset
from pruning_core.importance.protocols import ImportanceContext
from pruning_core.progress import ProgressReporter, report_nothing

NUM_IMAGES = 256
_FLOOR = 1e-3  # of the largest sensitivity: no group is free to remove


def measure_sensitivities(
    context: ImportanceContext, scores: Mapping[str, Tensor], report: ProgressReporter = report_nothing
) -> dict[str, float]:
    """Return per group the rise of the cross-entropy when only the best-scored half of its channels is open.

    One forward pass per group on ``NUM_IMAGES`` stratified training images. Always positive: a rise below a
    thousandth of the largest counts as that much; 1 for all if no group matters.
    """
    network = with_batch_statistics(context.network)
    batch = _one_batch(context)
    with torch.no_grad():
        base = _loss(network, batch)
        rises: dict[str, float] = {}
        for done, group in enumerate(context.graph.groups, start=1):
            gates = {group.name: best_half(scores[group.name]).to(batch.images_NCHW)}
            overrides = gate_weights(network, context.graph, gates)
            logits_NC = functional_call(network, overrides, (batch.images_NCHW,))
            rises[group.name] = float(F.cross_entropy(logits_NC, batch.labels_N)) - base
            report("sensitivity", done, len(context.graph.groups))
    largest = max(rises.values())
    if largest <= 0:
        return dict.fromkeys(rises, 1.0)
    return {name: max(rise, _FLOOR * largest) for name, rise in rises.items()}


def best_half(scores_C: Tensor) -> Tensor:
    """Return gates ``(C,)``: 1 for the higher-scored half (rounded up), else 0; ties go to the lower index."""
    num_open = (len(scores_C) + 1) // 2
    order = torch.argsort(scores_C, descending=True, stable=True)
    gates_C = torch.zeros(len(scores_C))
    gates_C[order[:num_open]] = 1
    return gates_C


def _loss(network: nn.Module, batch: Batch) -> float:
    return float(F.cross_entropy(network(batch.images_NCHW), batch.labels_N))


def _one_batch(context: ImportanceContext) -> Batch:
    count = min(NUM_IMAGES, context.settings.num_images, len(context.data.train))
    images = stratified_subset(context.data.train, count, context.seed)
    return next(iterate_batches(images, context.data.normalisation, batch_size=count, device=context.device))


def with_batch_statistics(network: nn.Module) -> nn.Module:
    """Copy a network so that its batch normalisations use the batch at hand; everything else stays in eval mode."""
    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return copied
