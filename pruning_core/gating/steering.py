"""Learn channel gates on a frozen network so that it stays accurate, explains itself as before and fits its budgets.

The explanation path runs through the classifier's own (gated) features, so gates that change what the network
looks at change the predicted mask, and the steering term sees it.

Departures from the paper, each of them an option or a mended fault: explanations are conditioned on the dense
network's prediction, not on the label; the distance is taken between normalised mask parameters; the cost is
that of the expected widths (no sampling noise) and counts every convolution and linear layer.

Shape suffixes used in this file:
    N  images in the batch or in the steering set
    C  all gated channels, groups one after another
    K, P  basis functions per mask, raw numbers per basis function

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.budgets import Resource
from pruning_core.channels import CostModel, gate_map, gate_weights
from pruning_core.channels.structures import ChannelGraph
from pruning_core.config import GatesConfig, LossWeightsConfig
from pruning_core.data import Batch, LabelledImages, Normalisation, iterate_batches
from pruning_core.gating.budget_term import (
    BudgetTerm,
    LagrangianTerm,
    log_excess,
    one_sided_term,
    two_sided_term,
)
from pruning_core.gating.gate_noise import NOISES, harden, sample_gates
from pruning_core.gating.gate_sources import build_gate_source
from pruning_core.saliency import Explanation, SaliencySelector, explain, explanation_distance
from pruning_core.training import check_finite
from pruning_core.training.classifier import report_no_steps

_SMALLEST_SPREAD = 1e-8  # explanations that are all alike give nothing to be relative to


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringSet:
    """Images the gates learn from, with what the dense network says of them.

    ``raw_NKP``: its explanations as the selector's raw numbers; ``classes_N``: its predictions;
    ``logits_NC``: its outputs, for distillation.
    """

    images: LabelledImages
    normalisation: Normalisation
    raw_NKP: Tensor
    classes_N: Tensor
    logits_NC: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringProblem:
    """What stays fixed while gates learn: the dense network, its explainer, its cost and the limits."""

    network: nn.Module
    graph: ChannelGraph
    selector: SaliencySelector
    cost_model: CostModel
    limits: Mapping[Resource, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LossTerms:
    """Unweighted terms of one step, and the largest ``log(cost / limit)`` of the gated network's cost."""

    task: float
    steering: float
    budget: float
    excess: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedGates:
    """Open probability per channel of each group, and the loss terms along the way (at most 100 points)."""

    open_probability: dict[str, Tensor]
    history: tuple[LossTerms, ...]


def steer_gates(
    problem: SteeringProblem,
    steering_set: SteeringSet,
    gates: GatesConfig,
    weights: LossWeightsConfig,
    *,
    seed: int,
    device: str = "cpu",
    report: Callable[[int, int], None] = report_no_steps,
) -> LearnedGates:
    """Learn the gates and return how open each channel ended.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite; the gates were not updated with it.
    """
    frozen = _frozen_copy(problem, device)
    source = build_gate_source(gates.source, _sizes(problem.graph), seed).to(device)
    optimiser = torch.optim.AdamW(
        source.parameters(), lr=gates.learning_rate, weight_decay=gates.weight_decay
    )
    generator = torch.Generator(device=device).manual_seed(seed)
    loss_of = _StepLoss(frozen, _prepared(steering_set, gates, seed, device), gates, weights, generator)
    history: list[LossTerms] = []
    for step, batch in enumerate(_endless_batches(steering_set, gates, seed, device)):
        if step == gates.steps:
            break
        shifted_C = source() + gates.base
        loss, terms = loss_of(shifted_C, batch, _temperature(gates, step))
        check_finite(loss, stage="gates", step=step)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        if step % max(1, gates.steps // 100) == 0:
            history.append(terms)
        report(step + 1, gates.steps)
    with torch.no_grad():
        probability_C = NOISES[gates.noise].open_probability(source() + gates.base).cpu().double()
    return LearnedGates(open_probability=split_by_group(probability_C, problem.graph), history=tuple(history))


def split_by_group(values_C: Tensor, graph: ChannelGraph) -> dict[str, Tensor]:
    """Cut a vector over all channels into one per group, in the graph's order."""
    parts = torch.split(values_C, _sizes(graph))
    return {group.name: part for group, part in zip(graph.groups, parts, strict=True)}


def gated_forward(
    problem: SteeringProblem, gates: Mapping[str, Tensor], images_NCHW: Tensor, classes_N: Tensor
) -> Explanation:
    """Run the gated network once and explain its output.

    Args:
        problem: Network, graph and selector.
        gates: Per group one number per channel; 1 is open.
        images_NCHW: Normalised images.
        classes_N: The class to explain, per image.
    """
    overrides = gate_weights(problem.network, problem.graph, gates)
    return explain(
        problem.network,
        problem.selector,
        images_NCHW,
        classes_N,
        forward=lambda shown_NCHW: functional_call(problem.network, overrides, (shown_NCHW,)),
        see_map=lambda layer, map_NCHW: gate_map(map_NCHW, layer, problem.graph, gates),
    )


class _StepLoss:
    """Loss of one step: task + steering + budget."""

    def __init__(
        self,
        problem: SteeringProblem,
        targets: SteeringSet,
        gates: GatesConfig,
        weights: LossWeightsConfig,
        generator: torch.Generator,
    ) -> None:
        self.problem = problem
        self.targets = targets
        self.gates = gates
        self.weights = weights
        self.noise = NOISES[gates.noise]
        self.generator = generator
        self.budget_term = _budget_term(gates, problem.limits)
        self.distance = steering_distance(gates.distance, problem.selector, targets.raw_NKP)

    def __call__(self, shifted_C: Tensor, batch: Batch, temperature: float) -> tuple[Tensor, LossTerms]:
        gates_C = sample_gates(shifted_C, self.noise, temperature, self.generator)
        if self.gates.hard_forward:
            gates_C = harden(gates_C)
        indices_N = batch.indices_N.to(self.targets.classes_N.device)
        explained = gated_forward(
            self.problem,
            split_by_group(gates_C, self.problem.graph),
            batch.images_NCHW,
            self.targets.classes_N[indices_N],
        )
        task = self._task(explained.logits_NC, batch.labels_N, indices_N)
        steering = self.distance(explained.raw_NKP, self.targets.raw_NKP[indices_N])
        cost = self._cost(shifted_C, temperature)
        budget = self.budget_term(cost).to(task)
        total = self.weights.task * task + self.weights.steering * steering + self.weights.budget * budget
        excess = log_excess(cost, self.problem.limits).max()
        return total, LossTerms(
            task=task.item(), steering=steering.item(), budget=budget.item(), excess=excess.item()
        )

    def _task(self, logits_NC: Tensor, labels_N: Tensor, indices_N: Tensor) -> Tensor:
        if self.gates.task_loss == "cross_entropy":
            return F.cross_entropy(logits_NC, labels_N)
        return F.kl_div(
            F.log_softmax(logits_NC, dim=1),
            F.log_softmax(self.targets.logits_NC[indices_N], dim=1),
            log_target=True,
            reduction="batchmean",
        )

    def _cost(self, shifted_C: Tensor, temperature: float) -> dict[Resource, Tensor]:
        if self.gates.budget_widths == "expected":
            open_C = self.noise.open_probability(shifted_C)
        else:  # a draw of its own, as in the paper, not the one the network ran with
            open_C = harden(sample_gates(shifted_C, self.noise, temperature, self.generator))
        widths_G = torch.stack(
            [part.sum() for part in torch.split(open_C.double(), _sizes(self.problem.graph))]
        )
        return self.problem.cost_model.cost(widths_G)


def _budget_term(gates: GatesConfig, limits: Mapping[Resource, int]) -> BudgetTerm:
    terms: dict[str, Callable[[], BudgetTerm]] = {
        "one_sided": lambda: one_sided_term(limits),
        "two_sided": lambda: two_sided_term(limits),
        "lagrangian": lambda: LagrangianTerm(
            limits, rate=gates.dual_rate, damping=gates.dual_damping, restarts=gates.dual_restarts
        ),
    }
    return terms[gates.budget_term]()


def steering_distance(
    kind: str, selector: SaliencySelector, targets_NKP: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of two batches of explanations: their mean distance, in the unit that was asked for.

    Args:
        kind: ``relative``, or a kind of ``explanation_distance``.
        selector: Reads the raw numbers.
        targets_NKP: Explanations of different images, which ``relative`` takes its unit from.
    """
    if kind != "relative":
        return lambda came_NKP, wanted_NKP: explanation_distance(came_NKP, wanted_NKP, selector, kind).mean()
    others_NKP = targets_NKP[_random_order(len(targets_NKP), seed=0)]
    spread = explanation_distance(others_NKP, targets_NKP, selector).mean().clamp_min(_SMALLEST_SPREAD)
    return lambda came_NKP, wanted_NKP: explanation_distance(came_NKP, wanted_NKP, selector).mean() / spread


def _random_order(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _sizes(graph: ChannelGraph) -> list[int]:
    return [group.num_channels for group in graph.groups]


def _temperature(gates: GatesConfig, step: int) -> float:
    """Fall log-linearly from ``temperature`` to ``final_temperature``."""
    done = step / max(1, gates.steps - 1)
    return float(gates.temperature ** (1 - done) * gates.final_temperature**done)


def _frozen_copy(problem: SteeringProblem, device: str) -> SteeringProblem:
    network = copy.deepcopy(problem.network).to(device).eval().requires_grad_(requires_grad=False)
    selector = copy.deepcopy(problem.selector).to(device).eval().requires_grad_(requires_grad=False)
    return SteeringProblem(
        network=network.to(memory_format=torch.channels_last),
        graph=problem.graph,
        selector=selector,
        cost_model=problem.cost_model,
        limits=problem.limits,
    )


def _prepared(steering_set: SteeringSet, gates: GatesConfig, seed: int, device: str) -> SteeringSet:
    """Move the targets to the device; shuffle them for the ablation that must lose."""
    raw_NKP = steering_set.raw_NKP
    if gates.targets == "shuffled":
        raw_NKP = raw_NKP[_random_order(len(raw_NKP), seed)]
    return SteeringSet(
        images=steering_set.images,
        normalisation=steering_set.normalisation,
        raw_NKP=raw_NKP.to(device),
        classes_N=steering_set.classes_N.to(device),
        logits_NC=steering_set.logits_NC.to(device),
    )


def _endless_batches(
    steering_set: SteeringSet, gates: GatesConfig, seed: int, device: str
) -> Iterator[Batch]:
    order = torch.Generator().manual_seed(seed)
    while True:
        yield from iterate_batches(
            steering_set.images,
            steering_set.normalisation,
            batch_size=gates.batch_size,
            device=device,
            generator=order,
        )
