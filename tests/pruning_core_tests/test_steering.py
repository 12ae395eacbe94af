"""Learning gates: what moves, what must not, and what an open network gives (oracles 14, 15, 19, 26, 30)."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from pruning_core.budgets import Resource
from pruning_core.channels import build_cost_model, find_channel_groups
from pruning_core.config import GatesConfig, LossWeightsConfig, MethodName, SaliencyConfig
from pruning_core.gating.gate_noise import NOISES
from pruning_core.gating.gate_sources import GATE_SOURCES
from pruning_core.gating.gated_network import (
    SteeringProblem,
    expected_widths,
    gated_forward,
    split_by_group,
)
from pruning_core.gating.steering import GateStart, LearnedGates, steer_gates
from pruning_core.gating.steering_batches import SteeringSet, fresh_answers, stored_answers
from pruning_core.gating.step_loss import divergence, steering_distance
from pruning_core.saliency import build_selector, dense_explanations, explanation_distance
from pruning_core.training import feature_distance
from tests.pruning_core_tests.saliency_cases import (
    NUM_CLASSES,
    classifier_of_patches,
    fingerprint,
    first_batch,
    patch_data,
)

SHARE = 0.5


@functools.cache
def problem(num_basis: int = 1) -> SteeringProblem:
    data, network = patch_data(), classifier_of_patches()
    selector = build_selector(
        network, SaliencyConfig(num_basis=num_basis), num_classes=NUM_CLASSES, input_shape=data.input_shape
    ).eval()
    for parameter in selector.parameters():  # untrained, every image has the same explanation
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    graph = find_channel_groups(
        network, data.input_shape, scope="all", taps=[tap.layer for tap in selector.taps]
    )
    model = build_cost_model(network, graph, data.input_shape)
    return SteeringProblem(
        network=network,
        graph=graph,
        selector=selector,
        cost_model=model,
        limits={Resource.MACS: int(SHARE * model.dense.macs)},
    )


@functools.cache
def steering_set() -> SteeringSet:
    data, given = patch_data(), problem()
    found = dense_explanations(given.network, given.selector, data.train, data.normalisation)
    return SteeringSet(
        images=data.train,
        data=data,
        raw_NKP=found.raw_NKP,
        classes_N=found.classes_N,
        logits_NC=found.logits_NC,
    )


@functools.cache
def learn(weights: tuple[tuple[str, float], ...] = (), seed: int = 0, **gates: Any) -> LearnedGates:
    """Learn on frozen weights, unless told otherwise: every option but those of the weights acts there too."""
    defaults: dict[str, Any] = {"steps": 30, "batch_size": 32, "learning_rate": 0.5}
    settings = GatesConfig(**{**defaults, "budget_term": "lagrangian", "network_weights": "frozen", **gates})
    weighing = LossWeightsConfig(**dict(weights))
    return steer_gates(problem(), steering_set(), settings, weighing, seed=seed)


def all_gates(value: float, *, requires_grad: bool = False) -> torch.Tensor:
    return torch.full((problem().graph.num_channels,), value, requires_grad=requires_grad)


def test_open_gates_give_the_networks_own_output_bit_by_bit() -> None:
    given, images = problem(), first_batch(patch_data())
    classes = torch.zeros(len(images), dtype=torch.int64)
    gated = gated_forward(given, split_by_group(all_gates(1.0), given.graph), images, classes)
    assert torch.equal(gated.logits_NC, given.network(images))


def test_a_gated_network_answers_alike_whatever_random_numbers_were_drawn_before() -> None:
    """Oracle 19: noise is in the gates that are learned, never in the network that is judged."""
    given, images = problem(), first_batch(patch_data())
    classes = torch.zeros(len(images), dtype=torch.int64)
    gates = split_by_group((torch.arange(given.graph.num_channels) % 3 > 0).float(), given.graph)
    with torch.random.fork_rng():
        explained = [
            gated_forward(given, gates, images, classes) for seed in (0, 1) if torch.manual_seed(seed)
        ]
    assert torch.equal(explained[0].logits_NC, explained[1].logits_NC)
    assert torch.equal(explained[0].raw_NKP, explained[1].raw_NKP)


def test_open_gates_are_at_distance_zero_and_others_are_not() -> None:
    given, data = problem(), patch_data()
    images, targets = first_batch(data), steering_set().raw_NKP[:32]
    classes = steering_set().classes_N[:32]
    distances = []
    for value in (1.0, 0.5):
        gates = split_by_group(all_gates(value), given.graph)
        raw = gated_forward(given, gates, images, classes).raw_NKP
        distances.append(explanation_distance(raw, targets, given.selector).mean().item())
    assert distances[0] == pytest.approx(0, abs=1e-10)
    assert distances[1] > 1e-6


def test_the_steering_term_moves_gates_and_neither_network_nor_selector() -> None:
    given = problem()
    gates = all_gates(0.7, requires_grad=True)
    explained = gated_forward(
        given,
        split_by_group(gates, given.graph),
        first_batch(patch_data()),
        torch.zeros(32, dtype=torch.int64),
    )
    torch.autograd.backward(
        explanation_distance(explained.raw_NKP, steering_set().raw_NKP[:32], given.selector).mean()
    )
    assert gates.grad is not None
    assert gates.grad.abs().max() > 0


def test_network_and_selector_come_back_as_they_were() -> None:
    given = problem()
    before = fingerprint(given.network), fingerprint(given.selector)
    flags = [parameter.requires_grad for parameter in given.network.parameters()]
    given.network.zero_grad(set_to_none=True)
    learn(seed=5)
    assert (fingerprint(given.network), fingerprint(given.selector)) == before
    assert [parameter.requires_grad for parameter in given.network.parameters()] == flags
    assert all(parameter.grad is None for parameter in given.network.parameters())


@pytest.mark.parametrize("source", GATE_SOURCES)
@pytest.mark.parametrize(("noise", "widths"), [("logistic", "expected"), ("gumbel", "sampled")])
def test_the_budget_term_brings_the_expected_cost_to_the_budget(source: str, noise: str, widths: str) -> None:
    learned = learn(
        (("task", 0.0), ("steering", 0.0)),
        source=source,
        noise=noise,
        budget_term="two_sided",  # multipliers alone do not pull a cost up that nothing else wants up
        budget_widths=widths,
        steps=150,
        learning_rate=0.2 if source == "free" else 0.01,
    )
    given = problem()
    expected_G = torch.stack([part.sum() for part in learned.open_probability.values()])
    share = given.cost_model.cost(expected_G)[Resource.MACS].item() / given.cost_model.dense.macs
    assert share == pytest.approx(SHARE, abs=0.06)


def test_the_same_seed_learns_the_same_gates() -> None:
    first, again, other = learn(seed=1), learn(seed=1), learn(seed=2)
    for name, open_C in first.open_probability.items():
        assert torch.equal(open_C, again.open_probability[name])
    assert any(
        not torch.equal(open_C, other.open_probability[name])
        for name, open_C in first.open_probability.items()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"task_loss": "distillation"},
        {"task_loss": "mixed"},
        {"distance": "raw"},
        {"distance": "normalised"},
        {"targets": "shuffled"},
        {"targets": "constant"},
        {"targets": "constant", "network_weights": "joint"},
        {"hard_forward": True},
        {"final_temperature": 0.05},
        {"budget_term": "one_sided"},
        {"budget_term": "exact"},
        {"steer_by": "features"},
        {"steer_by": "outputs"},
        {"network_weights": "joint"},
        {"budget_term": "two_sided"},
        {"dual_rate": 0.01},
        {"dual_damping": 1.0},
        {"budget_widths": "sampled"},
        {"noise": "gumbel"},
        {"base": 1.0},
        {"weight_decay": 0.5},
    ],
    ids=str,
)
def test_every_option_has_an_effect(change: dict[str, Any]) -> None:
    plain, changed = learn(), learn(**change)
    assert any(
        not torch.equal(open_C, changed.open_probability[name])
        for name, open_C in plain.open_probability.items()
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_steering_by_other_images_explanations_keeps_the_own_ones_worse(seed: int) -> None:
    """Oracle 30: what gates keep comes from the targets, not from learning alone."""

    def distance(targets: str) -> float:
        given, known = problem(), steering_set()
        gates = learn((("task", 0.0),), seed=seed, steps=90, targets=targets).open_probability
        images = first_batch(patch_data(), len(known.classes_N))
        raw_NKP = gated_forward(given, gates, images, known.classes_N).raw_NKP
        return explanation_distance(raw_NKP, known.raw_NKP, given.selector).mean().item()

    assert distance("dense") < 0.25 * min(distance("shuffled"), distance("constant"))


def test_constant_targets_are_the_mean_explanation_for_every_image() -> None:
    settings = GatesConfig(targets="constant", batch_size=32)
    expected_KP = steering_set().raw_NKP.mean(dim=0)
    for batches in (
        stored_answers(steering_set(), settings, seed=0, device="cpu"),
        fresh_answers(problem(), steering_set(), settings, seed=0, device="cpu"),
    ):
        for raw_KP in next(batches).raw_NKP:
            torch.testing.assert_close(raw_KP, expected_KP)


@pytest.mark.parametrize("term", ["task", "steering", "budget"])
def test_every_loss_weight_has_an_effect(term: str) -> None:
    plain, changed = learn(), learn(((term, 0.0),))
    assert any(
        not torch.equal(open_C, changed.open_probability[name])
        for name, open_C in plain.open_probability.items()
    )


def test_another_images_explanation_is_at_relative_distance_one() -> None:
    given, targets = problem(), steering_set().raw_NKP
    relative = steering_distance("relative", given.selector, targets)
    assert relative(targets, targets).item() == 0
    orders = [
        torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed)) for seed in range(20)
    ]
    mean = sum(relative(targets[order], targets).item() for order in orders) / len(orders)
    assert mean == pytest.approx(1, rel=0.25)


def test_progress_is_told_step_by_step_and_a_listener_may_stop_it() -> None:
    told: list[tuple[int, int]] = []

    def listen(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    settings = GatesConfig(steps=30, batch_size=32)
    with pytest.raises(KeyboardInterrupt):
        steer_gates(problem(), steering_set(), settings, LossWeightsConfig(), seed=0, report=listen)
    assert told == [(1, 30), (2, 30), (3, 30)]


def test_multipliers_bring_the_cost_to_the_budget_against_the_task() -> None:
    learned = learn((("task", 3.0),), steps=150, learning_rate=0.2)
    assert abs(learned.history[-1].excess) < 0.35
    assert learned.history[0].excess == pytest.approx(0.6, abs=0.15)  # nearly open, at half the MACs


@pytest.mark.parametrize("network_weights", ["frozen", "joint"])
def test_the_exact_budget_holds_at_the_end_and_falls_evenly_to_it(network_weights: str) -> None:
    learned = learn(budget_term="exact", budget_warmup=0.5, network_weights=network_weights)
    given = problem()
    expected_G = torch.stack([part.sum() for part in learned.open_probability.values()])
    share = given.cost_model.cost(expected_G)[Resource.MACS].item() / given.cost_model.dense.macs
    assert share == pytest.approx(SHARE, rel=1e-3)
    excesses = [terms.excess for terms in learned.history]
    assert excesses[0] == pytest.approx(-math.log(SHARE), rel=1e-3)
    assert excesses[: len(excesses) // 2] == sorted(excesses[: len(excesses) // 2], reverse=True)
    assert max(map(abs, excesses[len(excesses) // 2 + 1 :])) < 1e-3


def test_training_weights_along_returns_them_and_leaves_the_network_as_it_was() -> None:
    given = problem()
    before = fingerprint(given.network), fingerprint(given.selector)
    learned = learn(network_weights="joint", seed=6)
    assert (fingerprint(given.network), fingerprint(given.selector)) == before
    assert learned.weights is not None
    states = given.network.state_dict()
    assert states.keys() == learned.weights.keys()
    assert any(not torch.equal(states[name], tensor) for name, tensor in learned.weights.items())
    assert learn(seed=6).weights is None


def test_the_ablations_of_the_steering_term_are_zero_for_an_open_network() -> None:
    given, data = problem(), patch_data()
    images = first_batch(data)
    came = gated_forward(given, {}, images, torch.zeros(len(images), dtype=torch.int64))
    assert feature_distance(came.maps_NCHW, came.maps_NCHW).item() == 0
    assert divergence(came.logits_NC, came.logits_NC).item() == pytest.approx(0, abs=1e-6)
    other = tuple(2 * map_NCHW for map_NCHW in came.maps_NCHW)
    assert feature_distance(other, came.maps_NCHW).item() == pytest.approx(1, rel=1e-5)
    assert divergence(came.logits_NC.roll(1, dims=0), came.logits_NC).item() > 0


def test_gates_inside_allocated_widths_settle_channels_and_not_widths() -> None:
    given = problem()
    widths = {
        group.name: max(1, group.num_channels // (2 + index))
        for index, group in enumerate(given.graph.groups)
    }
    start = GateStart(
        logits={group.name: torch.zeros(group.num_channels) for group in given.graph.groups}, widths=widths
    )
    settings = GatesConfig(
        steps=20, batch_size=32, learning_rate=0.5, prior=MethodName.L1, widths="allocated"
    )
    learned = steer_gates(given, steering_set(), settings, LossWeightsConfig(), seed=0, start=start)
    for name, open_C in learned.open_probability.items():
        assert open_C.sum().item() == pytest.approx(widths[name], abs=1e-4)
    assert any(float(open_C.std()) > 0.05 for open_C in learned.open_probability.values())


@pytest.mark.parametrize("noise", sorted(NOISES))
@pytest.mark.parametrize("source", sorted(GATE_SOURCES))
def test_gates_start_exactly_from_a_prior(source: str, noise: str) -> None:
    """Oracle 16: before the first update the open probabilities are those that the prior asked for."""
    groups = problem().graph.groups
    generator = torch.Generator().manual_seed(3)
    wanted = {
        group.name: 0.05 + 0.9 * torch.rand(group.num_channels, generator=generator) for group in groups
    }
    start = GateStart(
        logits={name: NOISES[noise].logit(wanted_C.double()) for name, wanted_C in wanted.items()}
    )
    settings = GatesConfig(
        steps=1,
        batch_size=32,
        learning_rate=1e-9,
        weight_decay=0.0,
        budget_term="lagrangian",
        noise=noise,
        source=source,
    )
    learned = steer_gates(problem(), steering_set(), settings, LossWeightsConfig(), seed=0, start=start)
    for name, wanted_C in wanted.items():
        torch.testing.assert_close(learned.open_probability[name].float(), wanted_C, atol=1e-4, rtol=0)


def test_gates_that_hold_a_budget_from_the_first_step_start_from_a_prior_of_that_cost() -> None:
    generator = torch.Generator().manual_seed(3)
    given = problem()
    wanted_C = 0.05 + 0.9 * torch.rand(given.graph.num_channels, generator=generator).double()
    cost = given.cost_model.cost(expected_widths(wanted_C, given.graph))
    given = replace(given, limits={Resource.MACS: int(cost[Resource.MACS])})
    start = GateStart(logits=split_by_group(torch.logit(wanted_C), given.graph))
    settings = GatesConfig(
        steps=1,
        batch_size=32,
        learning_rate=1e-9,
        weight_decay=0.0,
        budget_warmup=0.0,
        network_weights="frozen",
    )
    learned = steer_gates(given, steering_set(), settings, LossWeightsConfig(), seed=0, start=start)
    opened_C = torch.cat([learned.open_probability[group.name] for group in given.graph.groups])
    torch.testing.assert_close(opened_C.double(), wanted_C, atol=1e-3, rtol=0)


def test_steering_in_bfloat16_learns_nearly_the_same_gates() -> None:
    single, half = (
        steer_gates(
            replace(problem(), precision=precision),
            steering_set(),
            GatesConfig(steps=20, batch_size=32, learning_rate=0.2),
            LossWeightsConfig(),
            seed=0,
        )
        for precision in ("float32", "bfloat16")
    )
    difference = max(
        float((single.open_probability[name] - half.open_probability[name]).abs().max())
        for name in single.open_probability
    )
    assert 0 < difference < 0.1
