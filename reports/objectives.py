"""What a study can optimise: how to read it from the scores, and how to bring it to [0, 1].

Normalised values have no unit, so that distances and volumes can mix them: costs are divided by the dense
network's, unbounded values ``x`` without a dense partner become ``x / (1 + x)``. Both are monotone, so they
change no front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reports.scores import NetworkScores

__all__ = ["OBJECTIVES", "Direction", "Objective"]


class Direction(StrEnum):
    """Which way is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """One quantity of a slim network.

    ``value`` returns it in its own unit, or None where it was not measured; ``normalised`` maps that value of
    the same scores to [0, 1] (clipped).
    """

    label: str
    value: Callable[[NetworkScores], float | None]
    normalised: Callable[[float, NetworkScores], float]


def _as_it_is(value: float, _: NetworkScores) -> float:
    return min(max(value, 0.0), 1.0)


def _squashed(value: float, _: NetworkScores) -> float:
    return value / (1.0 + value)


def _share_of(dense: Callable[[NetworkScores], float | None]) -> Callable[[float, NetworkScores], float]:
    """Divide by the dense network's cost, where it is known."""

    def normalised(value: float, scores: NetworkScores) -> float:
        dense_value = dense(scores)
        return _squashed(value, scores) if dense_value is None else min(value / dense_value, 1.0)

    return normalised


OBJECTIVES: dict[str, Objective] = {
    "accuracy": Objective(label="accuracy", value=lambda scores: scores.accuracy, normalised=_as_it_is),
    "macs": Objective(
        label="FLOPs (MACs)",
        value=lambda scores: scores.macs,
        normalised=_share_of(lambda scores: scores.dense_macs),
    ),
    "params": Objective(
        label="params",
        value=lambda scores: scores.params,
        normalised=_share_of(lambda scores: scores.dense_params),
    ),
    "activation_memory": Objective(
        label="activation memory (bytes)",
        value=lambda scores: scores.activation_memory,
        normalised=_share_of(lambda scores: scores.dense_activation_memory),
    ),
    "block_macs": Objective(
        label="MACs of the gated blocks",
        value=lambda scores: scores.block_macs,
        normalised=_share_of(lambda scores: scores.dense_block_macs),
    ),
    "latency_ms": Objective(
        label="latency (ms)",
        value=lambda scores: scores.latency_ms,
        normalised=_share_of(lambda scores: scores.dense_latency_ms),
    ),
    "explanation_similarity": Objective(
        label="explanation similarity",
        value=lambda scores: scores.explanation_similarity,
        normalised=_as_it_is,
    ),
    "explanation_distance": Objective(
        label="explanation distance",
        value=lambda scores: scores.explanation_distance,
        normalised=_squashed,
    ),
}
