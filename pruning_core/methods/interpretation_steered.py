"""Method ``interpretation_steered``: gates learned on the frozen network so that its explanations stay where they were.

After Ganjdanesh et al., ECCV 2022; departures are listed in ``pruning_core/gating/steering.py``.
"""

from __future__ import annotations

from dataclasses import asdict

from pruning_core.channels import check_feasible
from pruning_core.errors import InvalidSettingsError
from pruning_core.gating.gated_network import SteeringProblem
from pruning_core.gating.steering import steer_gates
from pruning_core.methods.protocols import ChannelProposal, MethodContext


def propose_interpretation_steered(context: MethodContext) -> ChannelProposal:
    """Learn gates; a channel's score is how open its gate ended, and groups keep as many as ended open.

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
    )
    learned = steer_gates(
        problem,
        context.steering_set,
        config.gates,
        config.loss_weights,
        seed=config.seed,
        data=context.data,
        device=context.device,
        report=lambda done, total: context.report("steer", done, total),
    )
    return ChannelProposal(
        scores=learned.open_probability,
        widths={name: int((open_C > 0.5).sum()) for name, open_C in learned.open_probability.items()},
        facts={"history": [asdict(terms) for terms in learned.history]},
        weights=learned.weights,
    )
