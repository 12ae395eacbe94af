"""Stage ``fine_tune``: remove channels, prove it, refit weights if asked, re-estimate statistics, train, evaluate.

Accuracies are kept on validation images: dense (with stage ``dense``), after removal, after reconstruction (if any),
after fine-tuning. The last epoch counts; nothing is chosen here. Training may pause at rungs (`stages.rungs`), and goes
on from one or from a checkpoint (`stages.checkpoints`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pruning_core.architectures import load_tensors
from pruning_core.channels import apply_layout, find_channel_groups
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.saliency import SaliencySelector, Tap, explain
from pruning_core.stages.artifact_store import Artifact, network_tensors
from pruning_core.stages.checkpoints import CheckpointWriter, continued_seconds, latest_state, state_of
from pruning_core.stages.context import StageContext
from pruning_core.stages.cutting import cut_slim_network
from pruning_core.stages.dense import load_dense, new_dense_network
from pruning_core.stages.dense_teacher import dense_teacher, feature_taps
from pruning_core.stages.explanation_scores import at_dense_width, explanations_kept
from pruning_core.stages.rungs import check_rung
from pruning_core.stages.saliency import load_selector
from pruning_core.training import TrainingHistory, eval_mode, evaluate, train_classifier

_OF_CUT = "of_cut"
"""Fact of a rung or checkpoint that names those which were found out before training."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _SlimRun:
    """A slim network on its way.

    ``taps``: maps that training holds to the dense network's. ``facts``: what was found out before training. ``start``:
    the rung or checkpoint where training goes on; None: at the beginning. ``writer``: of its next checkpoints.
    """

    dense: nn.Module
    slim: nn.Module
    graph: ChannelGraph
    selection: ChannelSelection
    selector: SaliencySelector | None
    taps: tuple[Tap, ...]
    facts: Mapping[str, Any]
    start: Artifact | None
    writer: CheckpointWriter


def build_fine_tuned(context: StageContext) -> Artifact:
    """Make the slim network and bring its accuracy back, from where an earlier attempt has left it."""
    run = _take_up(context, until=context.config.fine_tuning.epochs - 1)
    _train(context, run)
    return Artifact(
        tensors=network_tensors(run.slim),
        facts={
            **_validation_score(context, run.slim),
            **run.facts,
            **_slim_explanations(context, run.dense, run.slim, run.graph, run.selection, run.selector),
            "continued": continued_seconds(run.start),
        },
    )


def build_rung(context: StageContext, epochs: int) -> Artifact:
    """Bring the slim network as far as some epochs of fine-tuning, from where an earlier attempt has left it.

    Raises:
        InvalidSettingsError: There are no such epochs, or none would be left.
    """
    check_rung(epochs, context.config.fine_tuning.epochs)
    run = _take_up(context, until=epochs - 1)
    state = _train(context, run, until=epochs).state
    assert state is not None
    return Artifact(
        tensors=state.tensors,
        facts={
            **_validation_score(context, run.slim),
            **run.facts,
            _OF_CUT: list(run.facts),
            "losses": list(state.losses),
            "continued": continued_seconds(run.start),
        },
    )


def _train(context: StageContext, run: _SlimRun, until: int | None = None) -> TrainingHistory:
    config = context.config
    return train_classifier(
        run.slim,
        context.data,
        config.fine_tuning,
        seed=config.seed,
        device=context.device,
        precision=config.precision,
        compiler=context.compiler,
        teacher=dense_teacher(run.dense, run.taps, run.graph, run.selection),
        report=context.report,
        processes=context.processes,
        start=state_of(run.start),
        until=until,
        see_state=run.writer.see,
    )


def _validation_score(context: StageContext, slim: nn.Module) -> dict[str, Any]:
    data = context.data
    score = evaluate(
        slim, data.validation, data.normalisation, device=context.device, processes=context.processes
    )
    return {"num_images": score.num_images, "num_correct": score.num_correct, "loss": score.loss}


def _take_up(context: StageContext, *, until: int) -> _SlimRun:
    """Cut the slim network, or take the furthest one that an earlier attempt has left, up to an epoch."""
    choice = context.artifact(selection_stage(context))
    selection = ChannelSelection.from_plain(choice.facts["kept"])
    dense = load_dense(context)
    selector = load_selector(context) if context.has_stage("selector") else None
    taps = feature_taps(dense, context.data.input_shape, context.config.fine_tuning.distillation)
    graph = channel_graph(context, dense, selector, taps)
    start = latest_state(context, "fine_tune", until=until)
    if start is None:
        slim, facts = cut_slim_network(context, choice, dense, graph, selection)
    else:  # training brings the weights along
        slim = apply_layout(new_dense_network(context, load_weights=False), start.facts["layout"])
        facts = {name: start.facts[name] for name in start.facts[_OF_CUT]}
    return _SlimRun(
        dense=dense,
        slim=slim,
        graph=graph,
        selection=selection,
        selector=selector,
        taps=taps,
        facts=facts,
        start=start,
        writer=CheckpointWriter(context, "fine_tune", start, {**facts, _OF_CUT: list(facts)}),
    )


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
