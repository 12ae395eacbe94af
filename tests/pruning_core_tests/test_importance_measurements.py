"""The calibration pass: batches, order and division among processes change nothing (oracle 3); seeds (oracle 6)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from pruning_core.channels.structures import ChannelGraph
from pruning_core.importance import FLOWS, GRADIENT_RELEVANCES, TASK_RELEVANCES, ImportanceContext, Rating
from pruning_core.importance.measurements import measure
from pruning_core.importance.read_points import BATCH_SIZE, find_read_points
from pruning_core.importance.task_inspired import rate_measured
from tests.pruning_core_tests.importance_cases import (
    INNER,
    importance_context,
    plain_group,
    seeded_network,
)

EVERY_MEASURE = [
    {"task_relevance": relevance, "flow": flow}
    for relevance, flow in zip([*TASK_RELEVANCES, *GRADIENT_RELEVANCES], itertools.cycle(FLOWS), strict=False)
]


def context_with_stem(settings: Mapping[str, Any], *, seed: int = 0) -> ImportanceContext:
    network = seeded_network()
    base = importance_context(network, settings={"num_positions": 150, **settings}, seed=seed)
    groups = (plain_group("stem", 6, "norm1", "conv1"), *base.graph.groups)
    graph = ChannelGraph(groups=groups, untouched=(), taps={})
    return ImportanceContext(network=network, graph=graph, data=base.data, settings=base.settings, seed=seed)


def rating(context: ImportanceContext, parts: list[range], batch_size: int = BATCH_SIZE) -> Rating:
    """What several processes find out together."""
    reads = find_read_points(context)
    first, *others = [measure(context, reads, part=part, batch_size=batch_size) for part in parts]
    for other in others:
        first.merge(other)
    return rate_measured(context, reads, first)


def assert_same(one: Rating, other: Rating) -> None:
    assert one.floors == other.floors
    for group in one.scores:
        torch.testing.assert_close(one.scores[group], other.scores[group], rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(one.profiles[group].mean_CK, other.profiles[group].mean_CK)
        torch.testing.assert_close(one.profiles[group].share_CK, other.profiles[group].share_CK)
        torch.testing.assert_close(one.edges[group].share_CE, other.edges[group].share_CE)


@pytest.mark.parametrize("settings", EVERY_MEASURE, ids=lambda settings: "-".join(settings.values()))
def test_parts_measured_apart_and_merged_equal_one_pass(settings: dict[str, str]) -> None:
    context = context_with_stem(settings)
    whole = rating(context, [range(96)])
    assert_same(rating(context, [range(40), range(40, 96)]), whole)
    assert_same(rating(context, [range(70, 96), range(31), range(31, 70)]), whole)


@pytest.mark.parametrize("settings", EVERY_MEASURE, ids=lambda settings: "-".join(settings.values()))
@pytest.mark.parametrize("batch_size", [7, 96])
def test_rating_does_not_depend_on_the_batch_size(settings: dict[str, str], batch_size: int) -> None:
    context = context_with_stem(settings)
    assert_same(rating(context, [range(96)], batch_size), rating(context, [range(96)], 32))


def test_same_seed_gives_the_same_bits_and_another_seed_other_images() -> None:
    first, again = (rating(context_with_stem({"num_images": 48}), [range(48)]) for _ in range(2))
    assert all(torch.equal(first.scores[group], again.scores[group]) for group in first.scores)
    other = rating(context_with_stem({"num_images": 48}, seed=1), [range(48)])
    assert not torch.equal(first.scores[INNER], other.scores[INNER])


def test_more_images_come_closer_to_the_ranking_of_all() -> None:
    def ranks(num_images: int, seed: int) -> torch.Tensor:
        settings = {"num_images": num_images, "num_positions": 8 * num_images, "greedy": False}
        scores_C = rating(context_with_stem(settings, seed=seed), [range(num_images)]).scores[INNER]
        return scores_C.argsort().argsort().double()

    whole_C = ranks(96, 0)
    agreement = {
        num_images: sum(
            float(torch.corrcoef(torch.stack([ranks(num_images, seed), whole_C]))[0, 1]) for seed in range(4)
        )
        / 4
        for num_images in (8, 80)
    }
    assert agreement[80] > agreement[8]
    assert agreement[80] > 0.9
