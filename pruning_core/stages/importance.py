"""Stages ``importance`` and ``sensitivity``: what channels and groups are worth, once for all budgets of a search."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pruning_core.config import MethodName
from pruning_core.importance import (
    IMPORTANCES,
    ClassProfile,
    FlowEdges,
    ImportanceContext,
    Rating,
    measure_sensitivities,
    rate_channels,
)
from pruning_core.stage_graphs import scoring_of
from pruning_core.stages.artifact_store import Artifact
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense
from pruning_core.stages.recovery import channel_graph

_SCORE, _MEAN, _SHARE = "score/", "class_mean/", "class_share/"  # each followed by the group
_EDGE = "edge_{}/"  # layer, output, share


def build_importance(context: StageContext) -> Artifact:
    """Rate the channels by training images."""
    rating = rate_channels(IMPORTANCES[_scoring(context)], importance_subject(context))
    tensors = {_SCORE + group: score_C for group, score_C in rating.scores.items()}
    for group, profile in rating.profiles.items():
        tensors[_MEAN + group] = profile.mean_CK
        tensors[_SHARE + group] = profile.share_CK
    for group, edges in rating.edges.items():
        tensors[_EDGE.format("layer") + group] = edges.layer_CE
        tensors[_EDGE.format("output") + group] = edges.output_CE
        tensors[_EDGE.format("share") + group] = edges.share_CE
    layers = {group: list(edges.layers) for group, edges in rating.edges.items()}
    return Artifact(tensors=tensors, facts={"floors": dict(rating.floors), "edge_layers": layers})


def build_sensitivity(context: StageContext) -> Artifact:
    """Measure how much the loss minds losing half of each group.

    Methods without the stage ``importance`` score their filters here again, which costs them next to nothing.
    """
    subject = importance_subject(context)
    if context.has_stage("importance"):
        scores: Mapping[str, Tensor] = load_rating(context).scores
    else:
        scores = IMPORTANCES[_scoring(context)].score(subject)
    return Artifact(facts={"sensitivities": measure_sensitivities(subject, scores)})


def load_rating(context: StageContext) -> Rating:
    """Return what the stage ``importance`` of this run found."""
    artifact = context.artifact("importance")
    tensors = artifact.tensors
    return Rating(
        scores={
            name.removeprefix(_SCORE): tensor for name, tensor in tensors.items() if name.startswith(_SCORE)
        },
        floors=artifact.facts["floors"],
        profiles={
            name.removeprefix(_MEAN): ClassProfile(
                mean_CK=tensor, share_CK=tensors[_SHARE + name.removeprefix(_MEAN)]
            )
            for name, tensor in tensors.items()
            if name.startswith(_MEAN)
        },
        edges={
            group: FlowEdges(
                layers=tuple(layers),
                layer_CE=tensors[_EDGE.format("layer") + group],
                output_CE=tensors[_EDGE.format("output") + group],
                share_CE=tensors[_EDGE.format("share") + group],
            )
            for group, layers in artifact.facts.get(
                "edge_layers", {}
            ).items()  # artifacts of before have none
        },
    )


def load_sensitivities(context: StageContext) -> Mapping[str, float] | None:
    """Return what the stage ``sensitivity`` of this run found; None for a run that has none."""
    if not context.has_stage("sensitivity"):
        return None
    sensitivities: dict[str, float] = context.artifact("sensitivity").facts["sensitivities"]
    return sensitivities


def _scoring(context: StageContext) -> MethodName:
    scoring = scoring_of(context.config.method, context.config.gates.prior)
    assert scoring is not None, "only runs with scores have stages for them"
    return scoring


def importance_subject(context: StageContext) -> ImportanceContext:
    """Return the dense network of a run with what importances are measured by."""
    dense = load_dense(context)
    return ImportanceContext(
        network=dense,
        graph=channel_graph(context, dense, None),
        data=context.data,
        settings=context.config.importance,
        seed=context.config.dense_seed,
        device=context.device,
    )
