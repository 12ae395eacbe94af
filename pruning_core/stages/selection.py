"""Stages that choose which channels stay: ``steer``, ``allocate``.

Every method ends in the same projection, so that only scores and widths differ between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pruning_core.budgets import Resource
from pruning_core.channels import (
    CostModel,
    budget_limits,
    build_run_cost_model,
    hard_gates,
    project,
)
from pruning_core.channels.structures import ChannelGraph, ChannelSelection
from pruning_core.gating.gated_network import SteeringProblem, gated_forward
from pruning_core.importance import coverage_facts
from pruning_core.methods import METHODS, MethodContext
from pruning_core.stages.artifact_store import Artifact
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense
from pruning_core.stages.explanation_scores import explanations_kept
from pruning_core.stages.importance import load_rating, load_sensitivities
from pruning_core.stages.recovery import channel_graph
from pruning_core.stages.saliency import load_selector, load_steering_set


def build_selection(context: StageContext) -> Artifact:
    """Let the run's method propose, project its proposal to the budgets, and keep what was chosen."""
    config = context.config
    dense = load_dense(context)
    selector = load_selector(context) if context.has_stage("selector") else None
    graph = channel_graph(context, dense, selector)
    cost_model = build_run_cost_model(dense, graph, context.data.input_shape, config)
    limits = budget_limits(config.budgets, cost_model.dense)
    rating = load_rating(context) if context.has_stage("importance") else None
    proposal = METHODS[config.method](
        MethodContext(
            network=dense,
            graph=graph,
            cost_model=cost_model,
            limits=limits,
            data=context.data,
            config=config,
            importance=rating.scores if rating is not None else None,
            floors=rating.floors if rating is not None else {},
            sensitivities=load_sensitivities(context),
            selector=selector,
            steering_set=load_steering_set(context) if selector is not None else None,
            device=context.device,
            report=lambda _stage, done, total: context.report(done, total),
        )
    )
    selection = project(
        cost_model, graph, proposal.scores, proposal.widths, limits, config.channels, proposal.floors
    )
    facts = _selection_facts(cost_model, graph, limits, selection)
    if rating is not None and rating.profiles:
        facts["class_coverage"] = coverage_facts(rating.profiles, selection, context.data.class_names)
    if selector is not None and proposal.weights is None:
        problem = SteeringProblem(
            network=dense, graph=graph, selector=selector, cost_model=cost_model, limits=limits
        )
        facts["gated"] = _explanations_of_gated(context, problem, selection)
    return Artifact(tensors=proposal.weights or {}, facts={**facts, **proposal.facts})


def _selection_facts(
    cost_model: CostModel, graph: ChannelGraph, limits: Mapping[Resource, int], selection: ChannelSelection
) -> dict[str, Any]:
    widths = [len(selection.kept[name]) for name in cost_model.names]
    cost = cost_model.exact(widths)
    return {
        "kept": selection.to_plain(),
        "widths": {
            group.name: [len(selection.kept[group.name]), group.num_channels] for group in graph.groups
        },
        "limits": {str(resource): resource.shown(limit) for resource, limit in limits.items()},
        "budget_use": {str(resource): cost[resource] / limit for resource, limit in limits.items()},
        **{str(resource): resource.shown(cost[resource]) for resource in cost_model.resources},
        **{
            f"dense_{resource}": resource.shown(cost_model.dense[resource])
            for resource in cost_model.resources
        },
    }


def _explanations_of_gated(
    context: StageContext, problem: SteeringProblem, selection: ChannelSelection
) -> dict[str, float]:
    """Compare explanations before any weight has moved: what gate learning alone kept."""
    gates = {name: gate_C.to(context.device) for name, gate_C in hard_gates(problem.graph, selection).items()}

    def explain_gated(images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        return gated_forward(problem, gates, images_NCHW, classes_N).raw_NKP

    kept = explanations_kept(context, problem.network, problem.selector, explain_gated)
    return {"explanation_distance": kept.distance, "explanation_similarity": kept.similarity}
