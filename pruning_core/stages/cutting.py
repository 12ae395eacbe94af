"""From a selection to the slim network that fine-tuning starts from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.channels import (
    count_run_cost,
    remove_channels,
    run_resources,
    slim_layout,
    verify_removal,
)
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.config import ImportanceConfig
from pruning_core.importance import ImportanceContext
from pruning_core.reconstruction import reconstruct_consumers
from pruning_core.stages.artifact_store import Artifact
from pruning_core.stages.context import StageContext
from pruning_core.training import evaluate, reestimate_batch_norm

__all__ = ["cut_slim_network"]

_NUM_PROOF_IMAGES = 8


def cut_slim_network(
    context: StageContext,
    choice: Artifact,
    dense: nn.Module,
    graph: ChannelGraph,
    selection: ChannelSelection,
) -> tuple[nn.Module, dict[str, Any]]:
    """Remove channels, prove it, and refit what read them if the run asks for it.

    Returns:
        The slim network on the context's device, and facts: costs, limits, widths, layout, and the accuracies on the
        way. The dense network is on that device too.
    """
    config, data, device = context.config, context.data, context.device
    chosen = choice.facts
    full = _with_weights(dense, choice.tensors)
    slim = remove_channels(full, graph, selection)
    verify_removal(full.cpu(), slim.cpu(), graph, selection, _proof_images(context))
    resources, cost = (
        run_resources(config),
        count_run_cost(slim, data.input_shape, config, graph=graph, dense=dense),
    )
    reached = {str(resource): resource.shown(cost[resource]) for resource in resources}
    assert reached == {name: chosen[name] for name in reached}, "the cost model must count as the counter"

    dense.to(device)
    slim.to(device)
    if choice.tensors or any(kept < whole for kept, whole in chosen["widths"].values()):
        reestimate_batch_norm(slim, data, device=device, seed=config.seed)  # else it is the dense network
    after_removal = evaluate(slim, data.validation, data.normalisation, device=device)
    reconstruction = _reconstruct(context, full.to(device), slim, graph, selection)
    return slim, {
        "num_correct_after_removal": after_removal.num_correct,
        **reconstruction,
        **reached,
        **{f"dense_{name}": chosen[f"dense_{name}"] for name in reached},
        "limits": chosen["limits"],
        "widths": chosen["widths"],
        "layout": slim_layout(dense, graph, selection),
    }


def _with_weights(dense: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the network to remove channels from: the dense one, or a copy with weights trained along with gates."""
    if not weights:
        return dense
    trained = copy.deepcopy(dense)
    trained.load_state_dict(dict(weights))
    return trained


def _reconstruct(
    context: StageContext,
    dense: nn.Module,
    slim: nn.Module,
    graph: ChannelGraph,
    selection: ChannelSelection,
) -> dict[str, Any]:
    """Refit what reads removed channels, in place, if the run asks for it, and measure what that brought."""
    config, data, device = context.config, context.data, context.device
    if not config.recovery.reconstruct:
        return {"num_correct_after_reconstruction": None, "reconstruction": []}
    subject = ImportanceContext(
        network=dense,
        graph=graph,
        data=data,
        settings=ImportanceConfig(num_images=config.recovery.num_images),
        seed=config.seed,
        device=device,
    )
    layers = reconstruct_consumers(slim, subject, selection)
    reestimate_batch_norm(slim, data, device=device, seed=config.seed)
    score = evaluate(slim, data.validation, data.normalisation, device=device)
    return {
        "num_correct_after_reconstruction": score.num_correct,
        "reconstruction": [asdict(layer) for layer in layers],
    }


def _proof_images(context: StageContext) -> torch.Tensor:
    indices_N = torch.arange(min(_NUM_PROOF_IMAGES, len(context.data.validation)))
    return context.data.normalisation.apply(context.data.validation.read(indices_N))
