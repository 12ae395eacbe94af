"""Learn channel gates so that the network stays accurate, explains itself as before and fits its budgets.

The explanation path runs through the classifier's own (gated) features, so gates that change what the network
looks at change the predicted mask, and the steering term sees it.

Departures from the paper, each of them an option or a mended fault: explanations are conditioned on the dense
network's prediction, not on the label; the distance is taken between normalised mask parameters; the cost is
that of the expected widths (no sampling noise) and counts every convolution and linear layer; the budget is held
exactly in every step; weights may be trained along.

Shape suffixes used in this file:
    C  all gated channels, groups one after another

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning_core.config import GatesConfig, LossWeightsConfig, TrainingConfig
from pruning_core.gating.gate_noise import NOISES
from pruning_core.gating.gate_sources import build_gate_source
from pruning_core.gating.gated_network import SteeringProblem, frozen_problem, group_sizes, split_by_group
from pruning_core.gating.holding import Hold, hold_budget, hold_widths
from pruning_core.gating.steering_batches import SteeringBatch, SteeringSet, fresh_answers, stored_answers
from pruning_core.gating.step_loss import LossTerms, StepLoss, StepTerms
from pruning_core.progress import StepReport, report_no_step
from pruning_core.training import LossWatch, make_optimiser

_MAX_HISTORY = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedGates:
    """Open probability per channel of each group, and the loss terms along the way (at most 100 points).

    ``weights``: the dense-shaped network's state, where weights were trained along with the gates.
    """

    open_probability: dict[str, Tensor]
    history: tuple[LossTerms, ...]
    weights: dict[str, Tensor] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GateStart:
    """What gates are given by a scoring method.

    ``logits``: per group one number per channel; gates start from them exactly, without ``base``. ``widths``: per group
    the width to hold, so that gates only choose channels inside it; None lets them settle both.
    """

    logits: Mapping[str, Tensor]
    widths: Mapping[str, int] | None = None


def steer_gates(
    problem: SteeringProblem,
    steering_set: SteeringSet,
    gates: GatesConfig,
    weights: LossWeightsConfig,
    *,
    seed: int,
    start: GateStart | None = None,
    device: str = "cpu",
    report: StepReport = report_no_step,
) -> LearnedGates:
    """Learn the gates, with the weights if asked for, and return how open each channel ended.

    Args:
        problem: Stays as it is.
        steering_set: Images with the dense network's answers.
        gates: See ``GatesConfig``.
        weights: Of the loss terms.
        seed: Of order, augmentation, noise and the gate source.
        start: Where gates start and what widths they hold; by default all start alike and settle the widths.
        device: Where to learn.
        report: Called with (done, total) after every step; may raise to stop.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite. On the CPU nothing was updated with it; elsewhere see
            ``LossWatch``.
    """
    dense = frozen_problem(problem, device)
    learner = _Learner(dense, gates, start, seed, device)
    loss_of = StepLoss(
        learner.problem,
        gates,
        weights,
        spread_NKP=steering_set.raw_NKP.to(device),
        generator=torch.Generator(device=device).manual_seed(seed),
    )
    watch = LossWatch("gates", device)
    history: list[StepTerms] = []
    for step, batch in enumerate(_batches(dense, steering_set, gates, seed, device)):
        if step == gates.steps:
            break
        done = step / max(1, gates.steps - 1)
        loss, terms = loss_of(learner.logits(done), batch, _temperature(gates, done))
        watch.see(loss, step)
        learner.update(loss)
        if step % max(1, gates.steps // _MAX_HISTORY) == 0:
            history.append(terms)
        report(step + 1, gates.steps)
    watch.take_sum()
    with torch.no_grad():
        open_C = NOISES[gates.noise].open_probability(learner.logits(1.0)).cpu().double()
    return LearnedGates(
        open_probability=split_by_group(open_C, problem.graph),
        history=tuple(terms.read() for terms in history),
        weights=learner.trained_weights(),
    )


class _Learner:
    """What is learned: gate logits, and the network's weights where they are trained along."""

    def __init__(
        self,
        dense: SteeringProblem,
        gates: GatesConfig,
        start: GateStart | None,
        seed: int,
        device: str,
    ) -> None:
        widths = None if start is None else start.widths
        self._gates = gates
        self._hold: Hold = hold_budget(dense, gates) if widths is None else hold_widths(dense, gates, widths)
        self._source = build_gate_source(gates.source, group_sizes(dense.graph), seed).to(device)
        self._optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                self._source.parameters(), lr=gates.learning_rate, weight_decay=gates.weight_decay
            )
        ]
        self._start_C = torch.full((sum(group_sizes(dense.graph)),), gates.base, device=device)
        if start is not None:
            prior_C = torch.cat([start.logits[group.name] for group in dense.graph.groups])
            self._start_C = prior_C.to(self._start_C) - self._source().detach()
        self.problem = dense
        if gates.network_weights == "joint":
            network = _trainable_copy(dense, device)
            self.problem = replace(dense, network=network)
            settings = TrainingConfig(learning_rate=gates.weight_learning_rate)
            self._optimisers.append(make_optimiser(network, settings))

    def logits(self, done: float) -> Tensor:
        """Return the logits of all gates at a share of the steps, shifted to what is held."""
        return self._hold(self._source() + self._start_C, done)

    def update(self, loss: Tensor) -> None:
        """Take one step down the loss."""
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for optimiser in self._optimisers:
            optimiser.step()

    def trained_weights(self) -> dict[str, Tensor] | None:
        """Return the network's state on the CPU, or None if it never moved."""
        if self._gates.network_weights == "frozen":
            return None
        return {name: tensor.detach().cpu() for name, tensor in self.problem.network.state_dict().items()}


def _trainable_copy(dense: SteeringProblem, device: str) -> nn.Module:
    network = frozen_problem(dense, device).network
    return network.requires_grad_(requires_grad=True).train()


def _batches(
    dense: SteeringProblem,
    steering_set: SteeringSet,
    gates: GatesConfig,
    seed: int,
    device: str,
) -> Iterator[SteeringBatch]:
    if gates.network_weights == "joint" or gates.steer_by == "features":
        return fresh_answers(dense, steering_set, gates, seed=seed, device=device)
    return stored_answers(steering_set, gates, seed=seed, device=device)


def _temperature(gates: GatesConfig, done: float) -> float:
    """Fall log-linearly from ``temperature`` to ``final_temperature``."""
    return float(gates.temperature ** (1 - done) * gates.final_temperature**done)
