"""Block leverage: equality with refitting the consumer by least squares, duplicates, removal, the inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.importance.block_leverage import (
    BlockLeverageFlow,
    ConsumerReads,
    invert_in_place,
    second_moment,
)
from pruning_core.importance.flows import LeverageFlow, joined_gram
from pruning_core.importance.patches import PatchSampler, Window, patch_weights

CHANNELS = 5
NO_RIDGE = 1e-11
CONSUMERS: dict[str, nn.Conv2d | nn.Linear] = {
    "zero padding": nn.Conv2d(CHANNELS, 4, 3, padding=1),
    "stride": nn.Conv2d(CHANNELS, 4, 3, stride=2, padding=1),
    "pointwise": nn.Conv2d(CHANNELS, 4, 1),
    "linear": nn.Linear(CHANNELS, 3),
}


def reads_of(name: str) -> ConsumerReads:
    """All that a consumer reads of random maps with correlated channels."""
    generator = torch.Generator().manual_seed(0)
    layer = CONSUMERS[name].double()
    shape = (200, CHANNELS) if isinstance(layer, nn.Linear) else (40, CHANNELS, 5, 5)
    mixing = torch.eye(CHANNELS).double() + 0.5 * torch.rand(CHANNELS, CHANNELS, generator=generator).double()
    maps = torch.einsum("nc...,cd->nd...", torch.rand(shape, generator=generator).double(), mixing)
    one_each = torch.arange(CHANNELS)[:, None]
    sampler = PatchSampler(
        Window.of_layer(layer), one_each, num_positions=10**6, num_images=len(maps), seed=0
    )
    sampler.observe(maps, torch.zeros(len(maps), dtype=torch.int64), 0)
    return ConsumerReads(patches_MCO=sampler.patches(), weight_DCO=patch_weights(layer, one_each))


def refitting_error(reads: ConsumerReads, removed: list[int]) -> float:
    """What is left of the consumer's output, per position, when it may refit all weights of the other channels."""
    patches = (reads.patches_MCO - reads.patches_MCO.mean(dim=0)).numpy()
    output = np.einsum("mco,dco->md", patches, reads.weight_DCO.numpy())
    rest = np.delete(patches, removed, axis=1).reshape(len(patches), -1)
    solution = np.linalg.lstsq(rest, output, rcond=None)[0]
    return float(((output - rest @ solution) ** 2).sum() / len(patches))


def total_energy(reads: ConsumerReads) -> float:
    """Energy of all contributions, which the flow is scaled by."""
    centred = reads.patches_MCO - reads.patches_MCO.mean(dim=0)
    contributions = torch.einsum("mco,dco->mcd", centred, reads.weight_DCO)
    return float(contributions.square().sum() / len(centred))


@pytest.mark.parametrize("name", CONSUMERS)
def test_it_is_the_error_after_refitting_all_weights_of_the_consumer(name: str) -> None:
    reads = reads_of(name)
    got_C = BlockLeverageFlow([reads], ridge=NO_RIDGE).energies() * total_energy(reads)
    expected = [refitting_error(reads, [channel]) for channel in range(CHANNELS)]
    assert got_C.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["zero padding", "linear"])
def test_after_removals_it_is_the_error_of_losing_one_of_those_left(name: str) -> None:
    reads = reads_of(name)
    flow = BlockLeverageFlow([reads], ridge=NO_RIDGE)
    flow.remove(3)
    flow.remove(1)
    smaller = ConsumerReads(
        patches_MCO=reads.patches_MCO[:, [0, 2, 4]], weight_DCO=reads.weight_DCO[:, [0, 2, 4]]
    )
    expected = [refitting_error(smaller, [channel]) for channel in range(3)]
    got_C = flow.energies()[[0, 2, 4]] * total_energy(reads)
    assert got_C.tolist() == pytest.approx(expected, rel=1e-6)


def test_removal_equals_inverting_afresh() -> None:
    reads = reads_of("zero padding")
    flow = BlockLeverageFlow([reads])
    flow.remove(2)
    rest = [0, 1, 3, 4]
    smaller = ConsumerReads(patches_MCO=reads.patches_MCO[:, rest], weight_DCO=reads.weight_DCO[:, rest])
    fresh_C = BlockLeverageFlow([smaller]).energies() * total_energy(smaller) / total_energy(reads)
    torch.testing.assert_close(flow.energies()[rest], fresh_C, rtol=1e-9, atol=0)


def test_ridge_is_that_of_regression_on_channels_of_unit_energy() -> None:
    reads, ridge = reads_of("linear"), 0.05
    patches = reads.patches_MCO[:, :, 0].numpy()
    deviation = patches.std(axis=0)
    unit = (patches - patches.mean(axis=0)) / deviation / len(patches) ** 0.5
    got_C = BlockLeverageFlow([reads], ridge=ridge).energies() * total_energy(reads)
    for channel in range(CHANNELS):
        target = np.outer(unit[:, channel], reads.weight_DCO[:, channel, 0].numpy() * deviation[channel])
        design = np.concatenate([np.delete(unit, channel, axis=1), ridge**0.5 * np.eye(CHANNELS - 1)])
        target = np.concatenate([target, np.zeros((CHANNELS - 1, target.shape[1]))])
        residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        assert float(got_C[channel]) == pytest.approx(float((residual**2).sum()), rel=1e-8)


def test_alike_channels_read_through_different_weights_are_seen_and_one_of_them_stays() -> None:
    reads = reads_of("zero padding")
    reads.patches_MCO[:, 4] = reads.patches_MCO[:, 1]
    flow = BlockLeverageFlow([reads])
    before_C = flow.energies()
    by_contributions_C = LeverageFlow(joined_gram([reads])).energies()
    assert bool((before_C[[1, 4]] < 0.02 * before_C[[0, 2, 3]].min()).all())
    assert bool((by_contributions_C[[1, 4]] > 0.3 * by_contributions_C[[0, 2, 3]].min()).all())
    flow.remove(4)
    assert float(flow.energies()[1]) > 30 * float(before_C[1])


def test_adding_the_weights_of_a_removed_twin_to_the_one_that_stays_loses_nothing() -> None:
    reads = reads_of("zero padding")
    reads.patches_MCO[:, 4] = reads.patches_MCO[:, 1]
    dense_MD = torch.einsum("mco,dco->md", reads.patches_MCO, reads.weight_DCO)
    joined_DCO = reads.weight_DCO[:, :4].clone()
    joined_DCO[:, 1] += reads.weight_DCO[:, 4]
    slim_MD = torch.einsum("mco,dco->md", reads.patches_MCO[:, :4], joined_DCO)
    torch.testing.assert_close(slim_MD, dense_MD)
    assert refitting_error(reads, [4]) == pytest.approx(0, abs=1e-20)


def test_more_numbers_per_patch_than_patches_are_no_problem() -> None:
    reads = reads_of("zero padding")
    few = ConsumerReads(patches_MCO=reads.patches_MCO[:20], weight_DCO=reads.weight_DCO)
    energy_C = BlockLeverageFlow([few]).energies()
    assert bool((torch.isfinite(energy_C) & (energy_C >= 0)).all())


@pytest.mark.parametrize("size", [1, 7, 256, 600])
def test_inverse_in_place_is_the_inverse(size: int) -> None:
    vectors = torch.randn(size, size + 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix_RR = vectors @ vectors.T / size + 1e-3 * torch.eye(size, dtype=torch.float64)
    work_RR = matrix_RR.clone()
    inverse_RR = invert_in_place(work_RR)
    assert inverse_RR.data_ptr() == work_RR.data_ptr()
    torch.testing.assert_close(
        inverse_RR @ matrix_RR, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-8
    )


def test_second_moment_is_the_covariance_of_the_patches() -> None:
    patches_MCO = reads_of("zero padding").patches_MCO
    expected = torch.cov(patches_MCO.flatten(1).T, correction=0)
    torch.testing.assert_close(second_moment(patches_MCO), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(second_moment(patches_MCO.float()), expected, rtol=1e-5, atol=1e-6)
