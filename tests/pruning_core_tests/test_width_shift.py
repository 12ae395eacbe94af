"""Gates that only choose inside allocated widths: the shift of every group, its gradient, and what is learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pruning_core.config import load_config
from pruning_core.errors import InvalidSettingsError
from pruning_core.gating.gate_noise import NOISES
from pruning_core.gating.steering import LearnedGates
from pruning_core.gating.width_shift import width_shift
from pruning_core.methods import ChannelProposal
from pruning_core.methods.interpretation_steered import propose_gates
from tests.pruning_core_tests.channel_networks import network_named
from tests.pruning_core_tests.importance_cases import class_images
from tests.pruning_core_tests.method_cases import context_of, select

GROUP_C = torch.tensor([0, 0, 0, 1, 1, 1, 1])
WIDTHS_G = torch.tensor([1.5, 3.0], dtype=torch.float64)


def logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("noise", NOISES)
def test_open_probabilities_of_every_group_add_up_to_its_width(noise: str) -> None:
    open_probability = NOISES[noise].open_probability
    shift_G = width_shift(logits(), GROUP_C, WIDTHS_G, open_probability)
    opened_C = open_probability(logits() - shift_G[GROUP_C])
    assert opened_C[:3].sum().item() == pytest.approx(1.5, abs=1e-9)
    assert opened_C[3:].sum().item() == pytest.approx(3.0, abs=1e-9)


@pytest.mark.parametrize("noise", NOISES)
def test_the_gradient_is_that_of_finite_differences(noise: str) -> None:
    open_probability = NOISES[noise].open_probability

    def opened(logits_C: torch.Tensor) -> torch.Tensor:
        return open_probability(
            logits_C - width_shift(logits_C, GROUP_C, WIDTHS_G, open_probability)[GROUP_C]
        )

    assert torch.autograd.gradcheck(opened, (logits().requires_grad_(),))


def test_moving_a_whole_group_changes_nothing() -> None:
    moved_C = logits() + torch.tensor([5.0, -3.0], dtype=torch.float64)[GROUP_C]
    sigmoid = torch.sigmoid
    plain_C = logits() - width_shift(logits(), GROUP_C, WIDTHS_G, sigmoid)[GROUP_C]
    assert torch.allclose(moved_C - width_shift(moved_C, GROUP_C, WIDTHS_G, sigmoid)[GROUP_C], plain_C)


@pytest.mark.parametrize("width", [0.0, 3.0])
def test_a_group_can_be_closed_or_opened_altogether(width: float) -> None:
    widths_G = torch.tensor([width, 2.0], dtype=torch.float64)
    shift_G = width_shift(logits().float(), GROUP_C, widths_G, torch.sigmoid)
    assert torch.sigmoid(logits().float() - shift_G[GROUP_C])[:3].sum().item() == pytest.approx(
        width, abs=1e-6
    )


@pytest.mark.parametrize(
    "gates", [{"widths": "allocated"}, {"widths": "allocated", "prior": "l1", "budget_term": "lagrangian"}]
)
def test_allocated_widths_need_scores_to_allocate_by_and_no_budget_term(gates: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingsError, match="needs a prior to allocate by and budget_term 'exact'"):
        load_config({"gates": gates})


def test_floors_of_the_allocation_hold_when_widths_are_trimmed_to_the_budget() -> None:
    config = load_config({"budgets": {"macs": 0.5}, "channels": {"round_to": 1, "scope": "all"}})
    context = context_of(network_named("cifar_resnet8"), class_images(), config, scope="all")
    first, *others = context.cost_model.names
    sizes = dict(zip(context.cost_model.names, context.cost_model.sizes, strict=True))
    closed_first = {name: torch.full((size,), 0.9, dtype=torch.float64) for name, size in sizes.items()}
    closed_first[first] *= 0.01
    learned = LearnedGates(open_probability=closed_first, history=())
    allocated = ChannelProposal(scores=closed_first, widths=sizes, floors={first: sizes[first] - 1})
    kept = select(context, propose_gates(context, learned, allocated)).kept
    assert len(kept[first]) >= sizes[first] - 1
    without = select(context, propose_gates(context, learned, replace(allocated, floors={}))).kept
    assert len(without[first]) < sizes[first] - 1
    assert others, "something else must be there to be trimmed"
