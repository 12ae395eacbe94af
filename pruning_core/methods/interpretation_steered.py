"""Method ``interpretation_steered``: gates learned so that the network's explanations stay where they were.

After Ganjdanesh et al., ECCV 2022; departures are listed in ``pruning_core/gating/steering.py``.
"""

from __future__ import annotations

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
    prior = gate_prior(context, config.gates.prior) if config.gates.prior else None
    allocated = prior.proposal if prior is not None and config.gates.widths == "allocated" else None
    start = None
    if prior is not None:
        start = GateStart(logits=prior.logits, widths=None if allocated is None else allocated.widths)
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
    return propose_gates(context, learned, allocated)


def propose_gates(
    context: MethodContext, learned: LearnedGates, allocated: ChannelProposal | None = None
) -> ChannelProposal:
    """Propose the channels whose gates ended most open, up to the budgets or, if widths were allocated, to those."""
    opened = learned.open_probability
    if allocated is None:
        widths = widths_above_threshold(context.cost_model, opened, context.limits, context.config.channels)
    else:
        widths = dict(allocated.widths)
    return ChannelProposal(
        scores=opened,
        widths=widths,
        floors={} if allocated is None else allocated.floors,
        facts={"history": [asdict(terms) for terms in learned.history]},
        weights=learned.weights,
    )
