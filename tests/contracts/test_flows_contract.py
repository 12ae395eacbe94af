"""What every information flow must do; a new entry of ``FLOWS`` is tested by being listed."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from pruning_core.config import ImportanceConfig
from pruning_core.importance import FLOWS
from pruning_core.importance.block_leverage import ConsumerReads
from pruning_core.importance.elimination import eliminate

CHANNELS, OFFSETS, OUTPUTS = 6, 4, 5
every_flow = pytest.mark.parametrize("name", FLOWS)


def draw(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def reads(*, seed: int = 0, positions: int = 300) -> ConsumerReads:
    """Patches with a mean, and channels of different strength."""
    strength_C11 = torch.linspace(0.5, 3, CHANNELS, dtype=torch.float64)[:, None]
    return ConsumerReads(
        patches_MCO=draw(positions, CHANNELS, OFFSETS, seed=seed) * strength_C11 + 1.5,
        weight_DCO=draw(OUTPUTS, CHANNELS, OFFSETS, seed=seed + 100),
    )


def energies(name: str, *consumers: ConsumerReads) -> Tensor:
    return FLOWS[name](consumers).energies()


def scaled(given: ConsumerReads, input_C: Tensor, weight_C: Tensor) -> ConsumerReads:
    return ConsumerReads(
        patches_MCO=given.patches_MCO * input_C[:, None], weight_DCO=given.weight_DCO * weight_C[:, None]
    )


def test_configuration_offers_every_flow() -> None:
    assert set(get_args(ImportanceConfig.model_fields["flow"].annotation)) == set(FLOWS)


@every_flow
def test_energies_are_finite_non_negative_and_one_per_channel(name: str) -> None:
    energy_C = energies(name, reads(), reads(seed=1))
    assert energy_C.shape == (CHANNELS,)
    assert energy_C.dtype == torch.float64
    assert bool((torch.isfinite(energy_C) & (energy_C > 0)).all())


@every_flow
def test_nothing_flows_through_what_nobody_reads_what_is_constant_and_what_is_gone(name: str) -> None:
    given = reads()
    given.weight_DCO[:, 1] = 0
    given.patches_MCO[:, 4] = 7
    flow = FLOWS[name]([given])
    flow.remove(2)
    energy_C = flow.energies()
    torch.testing.assert_close(energy_C[[1, 2, 4]], torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert bool((energy_C[[0, 3, 5]] > 1e-4).all())


@every_flow
def test_unread_channel_is_removed_first(name: str) -> None:
    given = reads()
    given.weight_DCO[:, 3] = 0
    order_C = eliminate(FLOWS[name]([given]), torch.ones(CHANNELS, dtype=torch.float64), 0.5).order_C
    assert int(order_C[0]) == 3
    assert sorted(order_C.tolist()) == list(range(CHANNELS))


@every_flow
def test_shares_ignore_a_scale_that_the_consumer_divides_out(name: str) -> None:
    factor_C = 2.0 ** torch.arange(-3, 3)
    given = reads()
    torch.testing.assert_close(
        energies(name, scaled(given, factor_C, 1 / factor_C)), energies(name, given), rtol=1e-9, atol=0
    )


@every_flow
def test_shares_ignore_the_scale_of_a_consumer_and_the_mean_of_what_it_reads(name: str) -> None:
    given, other = reads(), reads(seed=1)
    louder = ConsumerReads(patches_MCO=given.patches_MCO - 40, weight_DCO=1000 * given.weight_DCO)
    torch.testing.assert_close(energies(name, louder, other), energies(name, given, other), rtol=1e-7, atol=0)


@every_flow
def test_silent_consumers_add_nothing(name: str) -> None:
    given, silent = reads(), reads(seed=1)
    silent.weight_DCO.zero_()
    torch.testing.assert_close(energies(name, given, silent), energies(name, given))
    assert energies(name, silent).tolist() == [0] * CHANNELS


@every_flow
def test_only_removing_others_makes_a_channel_more_needed(name: str) -> None:
    mixed = reads()
    mixed.patches_MCO[:, 5] = 0.5 * mixed.patches_MCO[:, 0] + mixed.patches_MCO[:, 1]
    flow = FLOWS[name]([mixed])
    before_C = flow.energies()
    flow.remove(0)
    after_C = flow.energies()
    assert bool((after_C[1:] >= before_C[1:] * (1 - 1e-9)).all())


@every_flow
def test_float32_patches_give_the_same_energies(name: str) -> None:
    given = reads()
    single = ConsumerReads(patches_MCO=given.patches_MCO.float(), weight_DCO=given.weight_DCO.float())
    torch.testing.assert_close(energies(name, single), energies(name, given), rtol=1e-4, atol=0)
