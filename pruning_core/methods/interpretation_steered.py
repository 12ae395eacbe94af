"""Method ``interpretation_steered``: gates learned so that the network's explanations stay where they were.

After Ganjdanesh et al., ECCV 2022; departures are listed in ``pruning_core/gating/steering.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from pruning_core.channels import check_feasible
from pruning_core.errors import InvalidSettingsError
from pruning_core.gating.gated_network import SteeringProblem
from pruning_core.gating.steering import GateStart, LearnedGates, steer_gates
from pruning_core.methods.gate_prior import gate_prior
from pruning_core.methods.global_threshold import widths_above_threshold
from pruning_core.methods.protocols import ChannelProposal, MethodContext


def propose_interpretation_steered(context: MethodContext) -> ChannelProposal:
    """Learn gates; a channel's score is how open its gate ended, and the most open ones that meet the budgets stay.

    Raises:
        InfeasibleBudgetsError: Not even the narrowest allowed network meets the limits.
        InvalidSettingsError: The stages ``selector`` and ``explanations`` have not been run.
        NonFiniteLossError: Gate training diverged.
    """
    if context.selector is None or context.steering_set is None:
        raise InvalidSettingsError(
            "method 'interpretation_steered' must be given a selector and a steering set, but got none; "
            "run the stages 'selector' and 'explanations' first"
        )
    config = context.config
    check_feasible(context.cost_model, context.limits, config.channels)
    problem = SteeringProblem(
        network=context.network,
        graph=context.graph,
        selector=context.selector,
        cost_model=context.cost_model,
        limits=context.limits,
        precision=config.precision,
    )
    start = _start(context)
    learned = steer_gates(
        problem,
        context.steering_set,
        config.gates,
        config.loss_weights,
        seed=config.seed,
        start=start,
        device=context.device,
        report=lambda done, total: context.report("steer", done, total),
    )
    return ChannelProposal(
        scores=learned.open_probability,
        widths=_widths(context, start, learned),
        facts={"history": [asdict(terms) for terms in learned.history]},
        weights=learned.weights,
    )


def _start(context: MethodContext) -> GateStart | None:
    """Return what the gates' prior gives them, if they have one."""
    gates = context.config.gates
    if gates.prior is None:
        return None
    prior = gate_prior(context, gates.prior)
    return GateStart(
        logits=prior.logits, widths=prior.proposal.widths if gates.widths == "allocated" else None
    )


def _widths(context: MethodContext, start: GateStart | None, learned: LearnedGates) -> Mapping[str, int]:
    """Return the widths that were held, or those that were learned."""
    if start is not None and start.widths is not None:
        return start.widths
    return widths_above_threshold(
        context.cost_model, learned.open_probability, context.limits, context.config.channels
    )
