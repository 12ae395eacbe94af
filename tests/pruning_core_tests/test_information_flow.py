"""Information flow: the Gram matrix against explicit contributions, leverage against least squares, elimination."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.importance.elimination import (
    Elimination,
    eliminate,
    product_score,
    rank_consistent_scores,
)
from pruning_core.importance.flows import LeverageFlow
from pruning_core.importance.information_flow import (
    contribution_gram,
    energy,
    gram_by_offsets,
    gram_of_contributions,
    join_consumers,
    leverage,
    ridge_of,
)
from pruning_core.importance.patches import PatchSampler, Window, fold_scale, patch_weights, spread_positions

CHANNELS = 6
CONVOLUTIONS = {
    "zero padding": nn.Conv2d(CHANNELS, 4, 3, padding=1),
    "stride": nn.Conv2d(CHANNELS, 4, 3, stride=2, padding=1),
    "dilation": nn.Conv2d(CHANNELS, 4, 3, dilation=2, padding=2),
    "groups": nn.Conv2d(CHANNELS, 4, 3, padding=1, groups=2),
    "pointwise": nn.Conv2d(CHANNELS, 4, 1),
    "large kernel": nn.Conv2d(CHANNELS, 2, 5, padding=2),
    "no padding": nn.Conv2d(CHANNELS, 4, (3, 1)),
    "same": nn.Conv2d(CHANNELS, 4, (5, 3), padding="same", dilation=(1, 2)),
    "valid": nn.Conv2d(CHANNELS, 4, 3, padding="valid"),
    "circular": nn.Conv2d(CHANNELS, 4, 3, padding=1, padding_mode="circular"),
    "reflect": nn.Conv2d(CHANNELS, 4, 3, padding=(1, 2), padding_mode="reflect"),
}
ONE_EACH = torch.arange(CHANNELS)[:, None]


def some_maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.3


def sampled(layer: nn.Conv2d | nn.Linear, inputs: Tensor, positions_CS: Tensor, *, batch: int = 2) -> Tensor:
    """All patches that a layer reads."""
    sampler = PatchSampler(
        Window.of_layer(layer), positions_CS, num_positions=10**6, num_images=len(inputs), seed=0
    )
    for first in range(0, len(inputs), batch):
        part = inputs[first : first + batch]
        sampler.observe(part, torch.zeros(len(part), dtype=torch.int64), first)
    return sampler.patches()


def explicit_gram(layer: nn.Module, inputs: Tensor, positions_CS: Tensor) -> Tensor:
    """Switch on one channel at a time and correlate what the layer puts out."""
    silence = layer(torch.zeros_like(inputs))
    contributions = []
    for positions in positions_CS:
        alone = torch.zeros_like(inputs)
        alone[:, positions] = inputs[:, positions]
        output = (layer(alone) - silence).detach()
        output = output.flatten(2).transpose(1, 2).flatten(0, 1) if output.ndim == 4 else output
        contributions.append((output - output.mean(dim=0)).flatten() / len(output) ** 0.5)
    stacked = torch.stack(contributions)
    return stacked @ stacked.T


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("way", [contribution_gram, "by offsets", "contributions"])
def test_gram_equals_the_gram_of_explicit_contributions(name: str, way: object) -> None:
    layer = CONVOLUTIONS[name].double()
    inputs = some_maps(4, CHANNELS, 7, 6)
    patches_MCO, weight_DCO = sampled(layer, inputs, ONE_EACH), patch_weights(layer, ONE_EACH)
    centred_MCO = patches_MCO - patches_MCO.mean(dim=0)

    if way == "by offsets":
        got = gram_by_offsets(centred_MCO, weight_DCO)
    elif way == "contributions":
        got = gram_of_contributions(centred_MCO, weight_DCO)
    else:
        got = contribution_gram(patches_MCO, weight_DCO)

    torch.testing.assert_close(got, explicit_gram(layer, inputs, ONE_EACH), rtol=1e-10, atol=1e-10)


def test_gram_of_channels_behind_a_flatten() -> None:
    layer = nn.Linear(CHANNELS * 9, 5).double()
    positions_CS = torch.arange(CHANNELS * 9).reshape(CHANNELS, 9)
    inputs = some_maps(20, CHANNELS * 9)
    got = contribution_gram(sampled(layer, inputs, positions_CS), patch_weights(layer, positions_CS))
    torch.testing.assert_close(got, explicit_gram(layer, inputs, positions_CS), rtol=1e-10, atol=1e-10)


def test_gram_of_channels_read_behind_a_concatenation() -> None:
    layer = CONVOLUTIONS["zero padding"].double()
    positions_CS = torch.tensor([[4], [5], [1]])
    inputs = some_maps(3, CHANNELS, 5, 5)
    got = contribution_gram(sampled(layer, inputs, positions_CS), patch_weights(layer, positions_CS))
    torch.testing.assert_close(got, explicit_gram(layer, inputs, positions_CS), rtol=1e-10, atol=1e-10)


def test_sampling_all_positions_reads_each_window_once() -> None:
    layer = CONVOLUTIONS["stride"].double()
    inputs = some_maps(3, CHANNELS, 7, 6)
    unfolded = F.unfold(inputs, 3, padding=1, stride=2)  # (N, C * O, L)
    expected_MCO = unfolded.transpose(1, 2).reshape(-1, CHANNELS, 9)
    assert torch.equal(sampled(layer, inputs, ONE_EACH), expected_MCO)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_sample_does_not_depend_on_the_batches(batch: int) -> None:
    layer = CONVOLUTIONS["zero padding"]
    inputs = some_maps(8, CHANNELS, 6, 6)

    def patches(size: int) -> Tensor:
        sampler = PatchSampler(Window.of_layer(layer), ONE_EACH, num_positions=50, num_images=8, seed=3)
        for first in range(0, 8, size):
            sampler.observe(inputs[first : first + size], torch.zeros(size, dtype=torch.int64), first)
        return sampler.patches()

    assert patches(8).shape == (50, CHANNELS, 9)
    assert torch.equal(patches(batch), patches(8))


def test_positions_are_spread_evenly_and_seeded() -> None:
    index_M = spread_positions(100, 1000, seed=0)
    assert torch.equal(index_M // 10, torch.arange(100))
    assert torch.equal(index_M, spread_positions(100, 1000, seed=0))
    assert not torch.equal(index_M, spread_positions(100, 1000, seed=1))
    assert torch.equal(spread_positions(50, 7, seed=0), torch.arange(7))


def test_scale_of_the_normalisation_behind_is_folded_in() -> None:
    layer, norm = CONVOLUTIONS["pointwise"].double(), nn.BatchNorm2d(4).double().eval()
    assert norm.running_var is not None
    norm.running_var.uniform_(0.2, 3)
    nn.init.uniform_(norm.weight, -2, 2)
    inputs = some_maps(4, CHANNELS, 5, 5)
    weight_DCO = fold_scale(patch_weights(layer, ONE_EACH), norm)
    got = contribution_gram(sampled(layer, inputs, ONE_EACH), weight_DCO)
    expected = explicit_gram(nn.Sequential(layer, norm), inputs, ONE_EACH)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def random_gram(size: int = 7, *, rank: int = 30, seed: int = 0) -> Tensor:
    vectors = torch.randn(size, rank, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return vectors @ vectors.T / rank


def test_leverage_is_the_residual_of_ridge_regression_on_the_other_contributions() -> None:
    vectors = torch.randn(5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gram_CC = vectors @ vectors.T
    ridge = ridge_of(gram_CC)
    for channel, got in enumerate(leverage(gram_CC)):
        others = torch.cat([vectors[:channel], vectors[channel + 1 :]])
        design = torch.cat([others.T, ridge**0.5 * torch.eye(4, dtype=torch.float64)])
        target = torch.cat([vectors[channel], torch.zeros(4, dtype=torch.float64)])
        solution = torch.linalg.lstsq(design, target[:, None]).solution[:, 0]
        residual = (design @ solution - target).square().sum()
        assert float(got) == pytest.approx(float(residual), rel=1e-9)


def test_channel_that_sends_nothing_has_no_flow() -> None:
    gram_CC = random_gram()
    gram_CC[3], gram_CC[:, 3] = 0, 0
    assert float(energy(gram_CC)[3]) == 0
    assert float(leverage(gram_CC)[3]) == pytest.approx(0, abs=1e-15)
    assert int(eliminate(LeverageFlow(gram_CC), torch.ones(7, dtype=torch.float64), 0.5).order_C[0]) == 3


def test_interchangeable_contributions_have_next_to_no_leverage() -> None:
    gram_CC = random_gram()
    twins = gram_CC[[0, 1, 2, 3, 4, 5, 6, 2]][:, [0, 1, 2, 3, 4, 5, 6, 2]]
    got = leverage(twins)
    assert float(got[2]) == pytest.approx(float(got[7]), rel=1e-9)
    assert float(got[2] / twins[2, 2]) < 2e-3
    assert float(leverage(gram_CC)[2] / gram_CC[2, 2]) > 0.3


def test_elimination_takes_one_of_a_pair_and_keeps_the_other() -> None:
    gram_CC = torch.diag(torch.tensor([1.0, 1.0, 2.0, 9.0, 9.0], dtype=torch.float64))
    gram_CC[3, 4] = gram_CC[4, 3] = 9
    order = eliminate(LeverageFlow(gram_CC), torch.ones(5, dtype=torch.float64), 0.5).order_C.tolist()
    assert order[0] in (3, 4)
    assert order[-1] in (3, 4)


def test_elimination_follows_freshly_inverted_matrices() -> None:
    gram_CC = random_gram(8)
    relevance_C = torch.rand(8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    elimination = eliminate(LeverageFlow(gram_CC), relevance_C, 0.4)
    ridge = ridge_of(gram_CC)
    flow_total = leverage(gram_CC).sqrt().sum()
    remaining = list(range(8))
    for removed, left, product in zip(
        elimination.order_C.tolist(), elimination.energy_C, elimination.product_C, strict=True
    ):
        part = gram_CC[remaining][:, remaining] + ridge * torch.eye(len(remaining), dtype=torch.float64)
        fresh = 1 / torch.linalg.inv(part).diagonal() - ridge
        products = (relevance_C[remaining] / relevance_C.sum()) ** 0.4 * (fresh.sqrt() / flow_total) ** 0.6
        assert removed == remaining[int(products.argmin())]
        assert float(left) == pytest.approx(float(fresh[remaining.index(removed)]), rel=1e-8)
        assert float(product) == pytest.approx(float(products.min()), rel=1e-8)
        remaining.remove(removed)


def test_first_step_of_elimination_uses_the_product_before_any_removal() -> None:
    gram_CC = random_gram(8)
    relevance_C = torch.rand(8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    products = product_score(relevance_C, leverage(gram_CC), 0.5)
    elimination = eliminate(LeverageFlow(gram_CC), relevance_C, 0.5)
    assert int(elimination.order_C[0]) == int(products.argmin())
    assert float(elimination.product_C[0]) == pytest.approx(float(products.min()), rel=1e-9)


def test_scores_grow_strictly_with_the_order_of_removal() -> None:
    elimination = Elimination(
        order_C=torch.tensor([2, 0, 3, 1]),
        energy_C=torch.zeros(4, dtype=torch.float64),
        product_C=torch.tensor([0.0, 0.5, 0.3, 0.7], dtype=torch.float64),
    )
    scores_C = rank_consistent_scores(elimination)
    assert scores_C.argsort().tolist() == [2, 0, 3, 1]
    torch.testing.assert_close(scores_C, torch.tensor([0.5, 0.7, 0.0, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("task_weight", [0.0, 0.5, 1.0])
def test_missing_signals_neither_decide_nor_break(task_weight: float) -> None:
    nothing, ones = torch.zeros(3, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for gram_CC, relevance_C in [(nothing, ones), (random_gram(3), 0 * ones), (nothing, 0 * ones)]:
        scores_C = rank_consistent_scores(eliminate(LeverageFlow(gram_CC), relevance_C, task_weight))
        assert bool((torch.isfinite(scores_C) & (scores_C >= 0)).all())
        assert len(set(scores_C.tolist())) == 3


def test_consumers_count_equally_and_silent_ones_not_at_all() -> None:
    first, second = random_gram(4, seed=1), random_gram(4, seed=2)
    joined = join_consumers([first, 1000 * second, torch.zeros(4, 4, dtype=torch.float64)])
    torch.testing.assert_close(joined, first / first.trace() + second / second.trace())
