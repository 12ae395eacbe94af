"""Running statistics of batch normalisation, measured anew after the weights or channels have changed."""

from __future__ import annotations

import torch
from torch import nn

from pruning_core.data import DataSplits, iterate_batches, stratified_subset
from pruning_core.training.evaluation import eval_mode

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@torch.no_grad()
def reestimate_batch_norm(
    network: nn.Module,
    data: DataSplits,
    *,
    device: str | torch.device = "cpu",
    num_images: int = 2048,
    batch_size: int = 128,
    seed: int = 0,
) -> None:
    """Set running means and variances to their averages over full batches of training images, in place.

    Images come without augmentation in an order drawn from ``seed``; all other layers are in eval mode. A network
    without batch normalisation is left alone. Momentum and modes of modules are as before afterwards.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, BATCH_NORMS) and module.track_running_stats
    ]
    if not norms:
        return
    network.to(device)
    images = stratified_subset(data.train, min(num_images, len(data.train)), seed)
    batches = iterate_batches(
        images,
        data.normalisation,
        batch_size=batch_size,
        device=device,
        generator=torch.Generator().manual_seed(seed),
        drop_last=len(images) > batch_size,  # unequal batches would not weigh alike
    )
    momenta = [norm.momentum for norm in norms]
    with eval_mode(network):
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the plain average over batches
                norm.train()
            for batch in batches:
                network(batch.images_NCHW)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
