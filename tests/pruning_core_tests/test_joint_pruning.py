"""Oracle 7: half of every group removed at once, by an importance and by chance."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import pytest

from pruning_core.channels import find_channel_groups
from pruning_core.config import ImportanceConfig
from pruning_core.importance import IMPORTANCES, ImportanceContext
from pruning_core.importance.sensitivity import best_half
from tests.pruning_core_tests.importance_cases import class_images
from tests.pruning_core_tests.trained_branches import NUM_IMAGES, gated_cross_entropy, trained_network


def loss_of_better_half(importance: str, settings: Mapping[str, str], *, seed: int = 0) -> float:
    network = trained_network(reads_right=True)
    context = ImportanceContext(
        network=network,
        graph=find_channel_groups(network, (3, 8, 8), scope="all"),
        data=class_images(num_images=NUM_IMAGES),
        settings=ImportanceConfig.model_validate({"num_images": NUM_IMAGES, **settings}),
        seed=seed,
    )
    scores = IMPORTANCES[importance].score(context)
    return gated_cross_entropy(
        network, context.graph, {name: best_half(score_C) for name, score_C in scores.items()}
    )


@pytest.mark.parametrize(
    ("importance", "settings"),
    [
        ("task_inspired", {}),
        ("task_inspired", {"task_relevance": "attribution"}),
        ("task_inspired", {"task_relevance": "cka_outputs"}),
        ("attribution", {}),
        ("taylor", {}),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else value,
)
def test_the_better_half_loses_less_than_halves_drawn_at_random(
    importance: str, settings: dict[str, str]
) -> None:
    by_chance = statistics.mean(loss_of_better_half("random", {}, seed=seed) for seed in range(8))
    assert loss_of_better_half(importance, settings) < by_chance
