"""Spearman's rank correlation of maps: closed form, a slow oracle with ties, invariances."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pruning_core.fidelity import rank_correlation


def random_maps(num_images: int, seed: int, *, with_ties: bool = False) -> Tensor:
    maps_NHW = torch.randn(num_images, 5, 7, generator=torch.Generator().manual_seed(seed))
    return maps_NHW.round() if with_ties else maps_NHW


def slow_ranks(values: list[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("with_ties", [False, True])
def test_equal_maps_correlate_exactly_and_opposite_ones_exactly_not(with_ties: bool) -> None:
    maps = random_maps(9, 0, with_ties=with_ties)
    assert (rank_correlation(maps, maps) == 1).all()
    assert (rank_correlation(maps, -maps) == -1).all()


def test_without_ties_it_is_the_sum_of_squared_rank_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randperm(35, generator=generator).double() for _ in range(2))
    expected = 1 - 6 * (a - b).square().sum().item() / (35 * (35**2 - 1))
    found = rank_correlation(a.view(1, 5, 7), b.view(1, 5, 7)).item()
    assert found == pytest.approx(expected, abs=1e-12)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    a, b = random_maps(6, 0, with_ties=True), random_maps(6, 1, with_ties=True)
    for found, map_a, map_b in zip(rank_correlation(a, b).tolist(), a, b, strict=True):
        ranks = [slow_ranks(one.flatten().tolist()) for one in (map_a, map_b)]
        expected = torch.corrcoef(torch.tensor(ranks, dtype=torch.float64))[0, 1].item()
        assert found == pytest.approx(expected, abs=1e-12)


def test_only_the_order_of_the_pixels_counts_and_not_where_they_are() -> None:
    a, b = random_maps(6, 0), random_maps(6, 1)
    expected = rank_correlation(a, b)
    torch.testing.assert_close(rank_correlation(a.exp() - 3, 100 * b), expected)
    torch.testing.assert_close(rank_correlation(b, a), expected)
    order = torch.randperm(35, generator=torch.Generator().manual_seed(2))
    moved = [maps.flatten(1)[:, order].view_as(maps) for maps in (a, b)]
    torch.testing.assert_close(rank_correlation(*moved), expected)


def test_a_constant_map_orders_nothing() -> None:
    constant, other = torch.full((2, 5, 7), 3.0), random_maps(2, 0)
    assert (rank_correlation(constant, other) == 0).all()
    assert (rank_correlation(constant, constant) == 0).all()
