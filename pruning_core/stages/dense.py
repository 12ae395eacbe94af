"""Stage ``dense``: the network that will be pruned, trained or loaded, with its validation score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from pruning_core.architectures import build_network, load_checkpoint, load_tensors, needs_training
from pruning_core.stages.artifact_store import Artifact, network_tensors
from pruning_core.stages.checkpoints import CheckpointWriter, continued_seconds, latest_state, state_of
from pruning_core.stages.context import StageContext
from pruning_core.training import evaluate, train_classifier


def build_dense(context: StageContext) -> Artifact:
    """Train the dense network, going on where an earlier attempt was killed, or load it; evaluate it."""
    config, data = context.config, context.data
    network = new_dense_network(context)
    before: Mapping[str, Any] = {}
    if config.architecture.checkpoint is not None:
        load_checkpoint(network, Path(config.architecture.checkpoint), architecture=config.architecture.name)
    elif needs_training(config.architecture, data.num_classes):
        start = latest_state(context, "dense", until=config.dense_training.epochs - 1)
        before = continued_seconds(start)
        train_classifier(
            network,
            data,
            config.dense_training,
            seed=config.dense_seed,
            device=context.device,
            precision=config.precision,
            compiler=context.compiler,
            report=context.report,
            processes=context.processes,
            start=state_of(start),
            see_state=CheckpointWriter(context, "dense", start).see,
        )
    score = evaluate(
        network, data.validation, data.normalisation, device=context.device, processes=context.processes
    )
    return Artifact(
        tensors=network_tensors(network),
        facts={
            "num_images": score.num_images,
            "num_correct": score.num_correct,
            "loss": score.loss,
            "continued": before,
        },
    )


def new_dense_network(context: StageContext, *, load_weights: bool = True) -> nn.Module:
    """Build the architecture with initial weights, or with any where they will be overwritten."""
    return build_network(
        context.config.architecture,
        num_classes=context.data.num_classes,
        in_channels=context.data.in_channels,
        seed=context.config.dense_seed,
        load_weights=load_weights,
    )


def load_dense(context: StageContext) -> nn.Module:
    """Return the dense network of this run on its device, in eval mode."""
    network = new_dense_network(context, load_weights=False)
    load_tensors(network, context.artifact("dense").tensors)
    return network.to(context.device).eval()
