"""Channels removed by Torch-Pruning, through its public interface: small steps until the budget is met, as its own
scripts do.

Reference: github.com/VainF/Torch-Pruning, its readme and ``reproduce`` folder (MIT), version 1.6.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import nn

from benchmarks.peers.runners.assignment import Assignment
from pruning_core.channels import count_cost
from pruning_core.data import Batch, iterate_batches
from pruning_core.strided_convolutions import guarded_strided_convolutions
from pruning_core.training.classifier import make_optimiser
from pruning_core.training_settings import TrainingConfig

__all__ = ["prune"]

_NUM_STEPS = 400
_NUM_TAYLOR_BATCHES = 10
_BATCH = 128
_SPARSE_LEARNING_RATE = 0.01
"""Of its sparsity learning, as its scripts for CIFAR set it."""


def prune(given: Assignment) -> nn.Module:
    """Remove channels until the network is within the budget.

    ``options``: ``importance`` (``group_norm``, ``bn_scale`` or ``taylor``), ``is_global`` (rank channels of all
    layers together), ``is_regularised`` (``training_epochs`` of its own regularised training before), ``ratios``
    (names of modules, to the share of their channels that goes: one step, whatever the budget).

    Raises:
        RuntimeError: The smallest step left is not small enough.
    """
    network, pruner = given.network, _pruner(given)
    if "ratios" in given.options:
        _step(given, pruner)
        return network
    if given.options.get("is_regularised", False):
        _train_sparse(given, pruner)
    for _ in range(_NUM_STEPS):
        if count_cost(network, given.data.input_shape).macs <= given.max_macs:
            return network
        _step(given, pruner)
    raise RuntimeError(
        f"Torch-Pruning must reach {given.max_macs} MACs within {_NUM_STEPS} steps, but did not"
    )


def _step(given: Assignment, pruner: Any) -> None:
    if given.options["importance"] == "taylor":
        _accumulate_gradients(given)
    given.network.eval()
    pruner.step()


def _pruner(given: Assignment) -> Any:
    kinds = {
        "group_norm": (tp.pruner.GroupNormPruner, tp.importance.GroupMagnitudeImportance(p=2)),
        "bn_scale": (tp.pruner.BNScalePruner, tp.importance.BNScaleImportance()),
        "taylor": (tp.pruner.BasePruner, tp.importance.GroupTaylorImportance()),
    }
    make, importance = kinds[given.options["importance"]]
    classifiers = [one for one in given.network.modules() if isinstance(one, nn.Linear)]
    ratios = given.options.get("ratios")
    return make(
        given.network,
        torch.zeros(1, *given.data.input_shape, device=given.device),
        importance=importance,
        global_pruning=given.options["is_global"],
        pruning_ratio=1.0 if ratios is None else 0.0,
        pruning_ratio_dict={
            given.network.get_submodule(name): ratio for name, ratio in (ratios or {}).items()
        },
        iterative_steps=_NUM_STEPS if ratios is None else 1,
        ignored_layers=classifiers[-1:],
        round_to=1,
    )


def _train_sparse(given: Assignment, pruner: Any) -> None:
    """Train with the pruner's own penalty on the gradients."""
    network = given.network
    settings = TrainingConfig(
        epochs=given.training_epochs, batch_size=_BATCH, learning_rate=_SPARSE_LEARNING_RATE
    )
    optimiser = make_optimiser(network, settings)
    generator = torch.Generator().manual_seed(given.seed)
    network.train()
    with guarded_strided_convolutions(network):
        for _ in range(given.training_epochs):
            pruner.update_regularizer()
            for batch in _batches(given, generator):
                loss = F.cross_entropy(network(batch.images_NCHW), batch.labels_N)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                pruner.regularize(network)
                optimiser.step()
    network.zero_grad()


def _accumulate_gradients(given: Assignment) -> None:
    network = given.network
    network.eval()
    network.zero_grad()
    batches = _batches(given, torch.Generator().manual_seed(given.seed))
    with guarded_strided_convolutions(network):
        for batch in islice(batches, _NUM_TAYLOR_BATCHES):
            F.cross_entropy(network(batch.images_NCHW), batch.labels_N).backward()  # type: ignore[no-untyped-call]


def _batches(given: Assignment, generator: torch.Generator) -> Iterator[Batch]:
    return iterate_batches(
        given.data.train,
        given.data.normalisation,
        batch_size=min(_BATCH, len(given.data.train)),
        device=given.device,
        generator=generator,
        augmentation=given.data.augmentation,
        drop_last=True,
    )
