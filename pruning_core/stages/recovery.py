"""Stage ``fine_tune``: remove channels, prove it, refit weights if asked, re-estimate statistics, train, evaluate.

Accuracies are kept on validation images: dense (with stage ``dense``), after removal, after reconstruction (if any),
after fine-tuning. The last epoch counts; nothing is chosen here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.architectures import load_tensors
from pruning_core.channels import (
    apply_layout,
    count_run_cost,
    find_channel_groups,
    remove_channels,
    run_resources,
    slim_layout,
    verify_removal,
)
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.config import ImportanceConfig
from pruning_core.importance import ImportanceContext
from pruning_core.reconstruction import reconstruct_consumers
from pruning_core.saliency import SaliencySelector, Tap, explain
from pruning_core.stages.artifact_store import Artifact, network_tensors
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense, new_dense_network
from pruning_core.stages.dense_teacher import dense_teacher, feature_taps
from pruning_core.stages.explanation_scores import at_dense_width, explanations_kept
from pruning_core.stages.saliency import load_selector
from pruning_core.training import eval_mode, evaluate, reestimate_batch_norm, train_classifier

_NUM_PROOF_IMAGES = 8


def build_fine_tuned(context: StageContext) -> Artifact:
    """Make the slim network and bring its accuracy back."""
    config, data, device = context.config, context.data, context.device
    choice = context.artifact(selection_stage(context))
    chosen = choice.facts
    selection = ChannelSelection.from_plain(chosen["kept"])
    dense = load_dense(context)
    selector = load_selector(context) if context.has_stage("selector") else None
    taps = feature_taps(dense, data.input_shape, config.fine_tuning.distillation)
    graph = channel_graph(context, dense, selector, taps)

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
    reestimate_batch_norm(slim, data, device=device, seed=config.seed)
    after_removal = evaluate(slim, data.validation, data.normalisation, device=device)
    reconstruction = _reconstruct(context, full.to(device), slim, graph, selection)
    train_classifier(
        slim,
        data,
        config.fine_tuning,
        seed=config.seed,
        device=device,
        precision=config.precision,
        compiler=context.compiler,
        teacher=dense_teacher(dense, taps, graph, selection),
        report=context.report,
        processes=context.processes,
    )
    score = evaluate(slim, data.validation, data.normalisation, device=device, processes=context.processes)
    return Artifact(
        tensors=network_tensors(slim),
        facts={
            "num_images": score.num_images,
            "num_correct": score.num_correct,
            "loss": score.loss,
            "num_correct_after_removal": after_removal.num_correct,
            **reconstruction,
            **reached,
            **{f"dense_{name}": chosen[f"dense_{name}"] for name in reached},
            "limits": chosen["limits"],
            "widths": chosen["widths"],
            "layout": slim_layout(dense, graph, selection),
            **_slim_explanations(context, dense, slim, graph, selection, selector),
        },
    )


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


def selection_stage(context: StageContext) -> str:
    """Return the name of the stage that chose this run's channels."""
    return "steer" if context.has_stage("steer") else "allocate"


def channel_graph(
    context: StageContext, dense: nn.Module, selector: SaliencySelector | None, taps: Sequence[Tap] = ()
) -> ChannelGraph:
    """Return the groups of the dense network that this run may prune; it knows the selector's taps and ``taps``."""
    seen = [*(selector.taps if selector is not None else ()), *taps]
    return find_channel_groups(
        dense,
        context.data.input_shape,
        scope=context.config.channels.scope,
        taps=list(dict.fromkeys(tap.layer for tap in seen)),
    )


def load_fine_tuned(context: StageContext) -> nn.Module:
    """Return the slim fine-tuned network of a finished run on its device, in eval mode."""
    artifact = context.artifact("fine_tune")
    slim = apply_layout(new_dense_network(context, load_weights=False), artifact.facts["layout"])
    load_tensors(slim, artifact.tensors)
    return slim.to(context.device).eval()


def _proof_images(context: StageContext) -> torch.Tensor:
    indices_N = torch.arange(min(_NUM_PROOF_IMAGES, len(context.data.validation)))
    return context.data.normalisation.apply(context.data.validation.read(indices_N))


def _slim_explanations(
    context: StageContext,
    dense: nn.Module,
    slim: nn.Module,
    graph: ChannelGraph,
    selection: ChannelSelection,
    selector: SaliencySelector | None,
) -> dict[str, Any]:
    """Compare the slim network's explanations of validation images with the dense one's."""
    if selector is None:
        return {"explanation_distance": None, "explanation_similarity": None}
    see_map = at_dense_width(selector, graph, selection)

    def explain_slim(images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        return explain(slim, selector, images_NCHW, classes_N, see_map=see_map).raw_NKP

    with eval_mode(slim):  # training leaves it in training mode, where normalisation is by the batch
        kept = explanations_kept(context, dense, selector, explain_slim)
    return {"explanation_distance": kept.distance, "explanation_similarity": kept.similarity}
