"""Stage ``importance``: what the network's channels are worth, once for all budgets of a search."""

from __future__ import annotations

from pruning_core.importance import (
    IMPORTANCES,
    ClassProfile,
    ImportanceContext,
    Rating,
    measure_sensitivities,
    rate_channels,
)
from pruning_core.stages.artifact_store import Artifact
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense
from pruning_core.stages.recovery import channel_graph

_SCORE, _MEAN, _SHARE = "score/", "class_mean/", "class_share/"  # each followed by the group


def build_importance(context: StageContext) -> Artifact:
    """Rate the channels, and measure how much the loss minds losing half of each group."""
    dense = load_dense(context)
    subject = ImportanceContext(
        network=dense,
        graph=channel_graph(context, dense, None),
        data=context.data,
        settings=context.config.importance,
        seed=context.config.dense_seed,
        device=context.device,
    )
    rating = rate_channels(IMPORTANCES[context.config.method], subject)
    tensors = {_SCORE + group: score_C for group, score_C in rating.scores.items()}
    for group, profile in rating.profiles.items():
        tensors[_MEAN + group] = profile.mean_CK
        tensors[_SHARE + group] = profile.share_CK
    sensitivities = measure_sensitivities(subject, rating.scores)
    return Artifact(
        tensors=tensors, facts={"sensitivities": dict(sensitivities), "floors": dict(rating.floors)}
    )


def load_rating(artifact: Artifact) -> Rating:
    """Read the rating out of the stage's artifact."""
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
    )
