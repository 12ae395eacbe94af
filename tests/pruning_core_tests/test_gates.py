"""Gate noise, gate sources and the budget term (oracles 17, 18 and 20 of the method)."""

from __future__ import annotations

import math

import pytest
import torch

from pruning_core.budgets import Resource
from pruning_core.gating.budget_term import LagrangianTerm, one_sided_term, two_sided_term
from pruning_core.gating.gate_noise import NOISES, harden, sample_gates
from pruning_core.gating.gate_sources import GATE_SOURCES, build_gate_source

SIZES = [4, 8, 3]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("probability", [0.02, 0.3, 0.7, 0.98])
def test_gates_open_as_often_as_the_formula_says(name: str, probability: float) -> None:
    noise = NOISES[name]
    shifted = noise.logit(torch.tensor(probability, dtype=torch.float64))
    assert noise.open_probability(shifted).item() == pytest.approx(probability, abs=1e-12)
    draws = sample_gates(shifted.expand(40_000), noise, 0.4, generator())
    three_sigma = 3 * math.sqrt(probability * (1 - probability) / 40_000)
    assert (draws > 0.5).double().mean().item() == pytest.approx(probability, abs=three_sigma)


def test_one_sided_noise_gives_the_papers_numbers() -> None:
    shifted = torch.tensor([3.0, 0.0, -1.0, -2.0], dtype=torch.float64)  # logits 0, -3, -4, -5 with base 3
    expected = [1.0, 0.632, 0.308, 0.127]
    assert NOISES["gumbel"].open_probability(shifted).tolist() == pytest.approx(expected, abs=1e-3)
    half = -3 + 3 + math.log(math.log(2))
    assert NOISES["gumbel"].open_probability(torch.tensor(half)).item() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("shifted", [-40.0, 40.0])
def test_extreme_logits_give_finite_gates_and_gradients(name: str, shifted: float) -> None:
    logits = torch.full((100,), shifted, requires_grad=True)
    gates = sample_gates(logits, NOISES[name], 0.1, generator())
    torch.autograd.backward(gates.sum())
    assert gates.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_same_seed_draws_the_same_gates() -> None:
    logits = torch.zeros(50)
    draws = [sample_gates(logits, NOISES["logistic"], 0.4, generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_hard_gates_are_zero_or_one_with_the_gradient_of_soft_ones() -> None:
    soft = torch.tensor([0.1, 0.49, 0.51, 0.9], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    hard = harden(soft)
    torch.autograd.backward((hard * weights).sum())
    assert hard.tolist() == [0, 0, 1, 1]
    assert torch.equal(soft.grad, weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GATE_SOURCES)
def test_a_gate_source_gives_one_trainable_logit_per_channel(name: str) -> None:
    source = build_gate_source(name, SIZES, seed=3)
    logits = source()
    assert logits.shape == (15,)
    torch.autograd.backward(logits.square().sum().add(logits.sum()))
    assert all(parameter.grad is not None for parameter in source.parameters())
    assert torch.equal(build_gate_source(name, SIZES, seed=3)(), logits)


@pytest.mark.parametrize("name", GATE_SOURCES)
def test_all_gates_are_open_at_the_start(name: str) -> None:
    shifted = build_gate_source(name, SIZES, seed=0)() + 3.0
    assert NOISES["gumbel"].open_probability(shifted).min() > 0.999
    assert NOISES["logistic"].open_probability(shifted).min() > 0.8


@pytest.mark.parametrize("name", GATE_SOURCES)
def test_building_a_gate_source_leaves_the_global_random_state_alone(name: str) -> None:
    before = torch.get_rng_state()
    build_gate_source(name, SIZES, seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_the_hypernetwork_has_the_papers_size() -> None:
    groups = [16] * 9 + [32] * 9 + [64] * 9  # the 27 inner groups of ResNet-56
    source = build_gate_source("hypernetwork", groups, seed=0)
    assert sum(parameter.numel() for parameter in source.parameters()) == pytest.approx(0.41e6, rel=0.02)


def cost(macs: float, params: float = 1.0) -> dict[Resource, torch.Tensor]:
    return {Resource.MACS: torch.tensor(macs), Resource.PARAMS: torch.tensor(params)}


LIMITS = {Resource.MACS: 50}


def test_an_open_network_pays_the_logarithm_of_its_budget() -> None:
    assert one_sided_term(LIMITS)(cost(100.0)).item() == pytest.approx(math.log(2))


def test_below_the_budget_one_side_is_free_and_two_sides_pull_back() -> None:
    assert one_sided_term(LIMITS)(cost(40.0)).item() == 0
    assert two_sided_term(LIMITS)(cost(40.0)).item() == pytest.approx(math.log(50 / 40))
    assert two_sided_term(LIMITS)(cost(50.0)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("macs", "sign"), [(80.0, 1), (20.0, -1)])
def test_the_two_sided_term_pushes_towards_the_budget(macs: float, sign: int) -> None:
    value = torch.tensor(macs, requires_grad=True)
    torch.autograd.backward(two_sided_term(LIMITS)({Resource.MACS: value}))
    assert value.grad is not None
    assert math.copysign(1, value.grad.item()) == sign


def test_with_two_budgets_only_the_tightest_pulls_back() -> None:
    term = two_sided_term({Resource.MACS: 50, Resource.PARAMS: 10})
    assert term(cost(40.0, 9.0)).item() == pytest.approx(math.log(10 / 9), abs=1e-6)
    assert term(cost(100.0, 20.0)).item() == pytest.approx(2 * math.log(2), abs=1e-6)


def test_a_multiplier_grows_by_the_excess_and_never_falls_below_zero() -> None:
    term = LagrangianTerm(LIMITS, rate=0.5, damping=2.0)
    assert term(cost(100.0)).item() == pytest.approx((1 + 2 * math.log(2)) * math.log(2))
    assert term.integral_M.item() == pytest.approx(1 + 0.5 * math.log(2))
    for _ in range(50):
        term(cost(10.0))
    assert term.integral_M.item() == 0
    assert term(cost(10.0)).item() == 0  # a slack budget asks for nothing


def test_with_restarts_a_multiplier_is_gone_as_soon_as_its_budget_is_met() -> None:
    """After a budget was far exceeded, what the multiplier grew to does not press the cost on below the limit."""
    slow = LagrangianTerm(LIMITS, rate=0.5, damping=0.0)
    restarted = LagrangianTerm(LIMITS, rate=0.5, damping=0.0, restarts=True)
    for term in (slow, restarted):
        for _ in range(20):
            term(cost(100.0))
    assert restarted.integral_M.item() == slow.integral_M.item() == pytest.approx(1 + 10 * math.log(2))
    for term in (slow, restarted):
        term(cost(49.0))
    assert slow.integral_M.item() > 7
    assert restarted.integral_M.item() == 0
    assert restarted(cost(49.0)).item() == 0
    restarted(cost(100.0))
    assert restarted.integral_M.item() == pytest.approx(0.5 * math.log(2))


def test_restarts_reset_each_multiplier_on_its_own() -> None:
    limits = {Resource.MACS: 50, Resource.PARAMS: 50}
    term = LagrangianTerm(limits, rate=0.5, damping=0.0, restarts=True)
    costs = {Resource.MACS: torch.tensor(100.0), Resource.PARAMS: torch.tensor(40.0)}
    term(costs)
    assert term.integral_M.tolist() == pytest.approx([1 + 0.5 * math.log(2), 0])


@pytest.mark.parametrize("restarts", [False, True])
def test_restarts_keep_a_cost_that_started_far_above_its_limit_from_falling_far_below(
    restarts: bool,
) -> None:
    log_macs = torch.tensor(math.log(400), dtype=torch.float64, requires_grad=True)
    term = LagrangianTerm(LIMITS, rate=0.05, damping=0.0, restarts=restarts)
    optimiser, path = torch.optim.SGD([log_macs], lr=0.02), []
    for _ in range(300):
        loss = term({Resource.MACS: log_macs.exp()}) - log_macs
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        path.append(log_macs.exp().item())
    assert min(path) < 50
    assert (min(path) > 40) == restarts


@pytest.mark.parametrize("worth", [0.1, 1.0, 10.0])
def test_multipliers_bring_a_cost_to_its_limit_whatever_it_is_worth(worth: float) -> None:
    macs = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)
    term, optimiser = LagrangianTerm(LIMITS, rate=0.05, damping=5.0), torch.optim.Adam([macs], lr=0.5)
    for _ in range(2500):
        loss = term({Resource.MACS: macs}) - worth * torch.log(macs)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert macs.item() == pytest.approx(50, rel=0.02)
    assert term.integral_M.item() == pytest.approx(worth, rel=0.1)
