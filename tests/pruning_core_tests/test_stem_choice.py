"""Stem choice: diverse sets, duplicates, the floor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pruning_core.importance.stem_choice import (
    information_floor,
    largest_volume,
    pivoted_cholesky,
    stem_kernel,
    stem_scores,
)


def responses(num_channels: int, *, num_pixels: int = 500, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_channels, num_channels, generator=generator, dtype=torch.float64)
    sources = torch.randn(num_pixels, num_channels, generator=generator, dtype=torch.float64)
    return sources @ mixing


def quality(num_channels: int, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + torch.rand(num_channels, generator=generator, dtype=torch.float64)


def log_volume(kernel_CC: Tensor, chosen: list[int]) -> float:
    return float(torch.linalg.slogdet(kernel_CC[chosen][:, chosen]).logabsdet)


def test_kernel_is_quality_times_correlation() -> None:
    responses_MC, quality_C = responses(4), quality(4)
    kernel_CC = stem_kernel(5 * responses_MC + 3, quality_C)
    scale_C = (quality_C / quality_C.max()).sqrt()
    expected = torch.corrcoef(responses_MC.T) * scale_C[:, None] * scale_C
    torch.testing.assert_close(kernel_CC, expected, rtol=1e-9, atol=1e-12)


def test_duplicates_are_never_both_taken_before_the_rank_is_exhausted() -> None:
    base = responses(4)
    with_twins = torch.cat([base, base[:, :2], -base[:, 2:3]], dim=1)
    order = pivoted_cholesky(stem_kernel(with_twins, quality(7))).order_C.tolist()
    assert {channel % 4 for channel in order[:4]} == {0, 1, 2, 3}


def test_linear_combination_comes_after_what_it_is_made_of() -> None:
    base = responses(3)
    with_mixture = torch.cat([base, (base[:, :1] + base[:, 1:2])], dim=1)
    choice = pivoted_cholesky(stem_kernel(with_mixture, torch.ones(4, dtype=torch.float64)))
    assert float(choice.pivot_C[3]) == pytest.approx(0, abs=1e-9)
    assert float(choice.pivot_C[2]) > 1e-3


def test_constant_channel_is_chosen_last() -> None:
    responses_MC = responses(5)
    responses_MC[:, 1] = 2.5
    kernel_CC = stem_kernel(responses_MC, quality(5))
    assert bool((kernel_CC[1] == 0).all())
    assert int(pivoted_cholesky(kernel_CC).order_C[-1]) == 1


@pytest.mark.parametrize("size", [3, 6, 9])
def test_chosen_set_spans_more_than_almost_all_random_sets(size: int) -> None:
    kernel_CC = stem_kernel(responses(12), quality(12))
    chosen = log_volume(kernel_CC, pivoted_cholesky(kernel_CC).order_C[:size].tolist())
    generator = torch.Generator().manual_seed(3)
    others = [
        log_volume(kernel_CC, torch.randperm(12, generator=generator)[:size].tolist()) for _ in range(300)
    ]
    assert chosen >= torch.tensor(others).quantile(0.99)


def test_pivots_fall_and_their_product_is_the_volume() -> None:
    kernel_CC = stem_kernel(responses(8), quality(8))
    choice = pivoted_cholesky(kernel_CC)
    assert bool((choice.pivot_C.diff() <= 1e-12).all())
    assert float(choice.pivot_C[:5].log().sum()) == pytest.approx(
        log_volume(kernel_CC, choice.order_C[:5].tolist()), rel=1e-9
    )


def test_scores_fall_strictly_with_the_order_of_choice() -> None:
    base = responses(4)
    kernel_CC = stem_kernel(torch.cat([base, base], dim=1), quality(8))
    scores_C = stem_scores(kernel_CC)
    assert scores_C.argsort(descending=True).tolist() == pivoted_cholesky(kernel_CC).order_C.tolist()
    assert bool((scores_C >= 0).all())
    assert len(set(scores_C.tolist())) == 8


@pytest.mark.parametrize("size", [1, 3, 6, 9])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_swap_enlarges_the_volume_of_the_chosen_set(size: int, seed: int) -> None:
    kernel_CC = stem_kernel(responses(12, seed=seed), quality(12, seed=seed + 10))
    chosen = largest_volume(kernel_CC, size)
    volume = log_volume(kernel_CC, chosen)
    assert len(set(chosen)) == size
    assert volume >= log_volume(kernel_CC, pivoted_cholesky(kernel_CC).order_C[:size].tolist()) - 1e-12
    for place in range(size):
        for channel in set(range(12)) - set(chosen):
            swapped = [*chosen[:place], channel, *chosen[place + 1 :]]
            assert log_volume(kernel_CC, swapped) <= volume + 1e-8


def test_swaps_beat_greedy_where_greedy_is_short_sighted() -> None:
    """Greedy starts with the loudest channel, which the two others together make superfluous."""
    kernel_CC = torch.tensor([[1.02, 0.7, 0.7], [0.7, 1.0, 0.0], [0.7, 0.0, 1.0]], dtype=torch.float64)
    assert int(pivoted_cholesky(kernel_CC).order_C[0]) == 0
    assert largest_volume(kernel_CC, 2) == [1, 2]


def test_set_is_no_larger_than_the_rank() -> None:
    base = responses(3)
    kernel_CC = stem_kernel(torch.cat([base, base], dim=1), torch.ones(6, dtype=torch.float64))
    assert {channel % 3 for channel in largest_volume(kernel_CC, 5)} == {0, 1, 2}
    assert len(largest_volume(kernel_CC, 5)) == 3
    assert largest_volume(torch.zeros(4, 4, dtype=torch.float64), 2) == []


def test_the_set_of_the_floors_size_has_the_highest_scores() -> None:
    kernel_CC = torch.tensor([[1.02, 0.7, 0.7], [0.7, 1.0, 0.0], [0.7, 0.0, 1.0]], dtype=torch.float64)
    assert int(stem_scores(kernel_CC, 1).argmax()) == 0
    assert set(stem_scores(kernel_CC, 2).argsort(descending=True)[:2].tolist()) == {1, 2}
    for size in (2, 5, 8):
        wide_CC = stem_kernel(responses(10), quality(10))
        best = stem_scores(wide_CC, size).argsort(descending=True)[:size].tolist()
        assert sorted(best) == largest_volume(wide_CC, size)


def test_floor_shrinks_with_tolerance_and_counts_independent_channels() -> None:
    base = responses(4)
    kernel_CC = stem_kernel(torch.cat([base, base], dim=1), torch.ones(8, dtype=torch.float64))
    floors = [information_floor(kernel_CC, share) for share in (0.0, 0.005, 0.05, 0.3, 0.9)]
    assert floors[0] == 4
    assert floors == sorted(floors, reverse=True)
    assert floors[-1] == 1


def test_impossible_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match="0 <= max_residual < 1"):
        information_floor(torch.eye(2, dtype=torch.float64), 1.0)
