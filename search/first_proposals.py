"""The configurations that a search begins with, and what is known of each before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pruning_core.budgets import COUNTED_ALWAYS, Resource
from pruning_core.config import PruningConfig
from pruning_core.errors import InfeasibleBudgetsError
from reports.formats import amount, amount_of, percent
from search.backend import Facts, PruningBackend
from search.spec import SearchSpec
from search.studies.study import new_study_in_memory
from spaces import Value

__all__ = ["FirstProposal", "first_proposals", "proposal_rows", "unlimited_notes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstProposal:
    """A configuration.

    ``limits``: what its network costs at most, by resource with a budget; budgets are met, and the one that binds is
    used up. ``dense``: what the dense network costs of them, and of what every run counts. ``new_stages``: names of
    the shared stages that no configuration before it needs. ``problem``: why it cannot run; None if it can.
    """

    values: Mapping[str, Value]
    config: PruningConfig
    limits: Mapping[Resource, int]
    dense: Mapping[Resource, int]
    new_stages: tuple[str, ...]
    problem: str | None


def first_proposals(
    spec: SearchSpec, backend: PruningBackend, describe: Callable[[PruningConfig], Facts], count: int
) -> list[FirstProposal]:
    """Ask for as many configurations as if none of them ended meanwhile; nothing runs and nothing is kept.

    Args:
        spec: Of the search.
        backend: Plans and checks.
        describe: Says what the dense network of a configuration costs.
        count: How many at most; there are no more than ``limits.trials``.
    """
    study = new_study_in_memory(spec)
    tried: set[str] = set()

    def is_tried(values: Mapping[str, Value]) -> bool:
        return backend.plan(spec.make_config(values)).trial_key in tried

    study.avoid(is_tried)
    study.enqueue_first(spec.points_to_try)
    seen: set[str] = set()
    proposals: list[FirstProposal] = []
    num_configurations = spec.space.num_configurations or count
    for _ in range(min(count, spec.limits.trials, num_configurations)):
        values = study.ask().values
        config = spec.make_config(values)
        plan = backend.plan(config)
        tried.add(plan.trial_key)
        facts, budgets = describe(config), dict(config.budgets.items())
        dense = {
            resource: resource.amount(float(str(facts[f"dense.{resource}"])))
            for resource in Resource
            if resource in COUNTED_ALWAYS or resource in budgets
        }
        problem = _problem(config, backend)
        new = [stage for stage in plan.stages if stage.key not in seen] if problem is None else []
        seen.update(stage.key for stage in new)
        proposals.append(
            FirstProposal(
                values=values,
                config=config,
                limits={resource: one.limit(dense[resource]) for resource, one in budgets.items()},
                dense=dense,
                new_stages=tuple(stage.name for stage in new),
                problem=problem,
            )
        )
    return proposals


def proposal_rows(proposals: Sequence[FirstProposal]) -> tuple[list[str], list[list[str]]]:
    """Write proposals as a table: its header, and a row of cells for each."""
    resources = [one for one in Resource if any(one in proposal.limits for proposal in proposals)]
    fields = [name for name in proposals[0].values if not name.startswith("budgets.")]
    header = [
        "trial",
        *(f"{one} at most" for one in resources),
        *fields,
        "shared stages it is the first to need",
    ]
    rows = [
        [
            str(number),
            *(_limit(proposal, one) for one in resources),
            *(_short(proposal.values.get(name)) for name in fields),
            ", ".join(proposal.new_stages)
            if proposal.problem is None
            else f"cannot be met: {proposal.problem}",
        ]
        for number, proposal in enumerate(proposals)
    ]
    return header, rows


def unlimited_notes(proposals: Sequence[FirstProposal]) -> list[str]:
    """Say of what every run counts, but no proposal has a budget for, why the table has no column of it."""
    unlimited = [one for one in COUNTED_ALWAYS if not any(one in proposal.limits for proposal in proposals)]
    return [
        f"{resource} are not predicted: they follow from the channels that are chosen, and without "
        f"budgets.{resource} only the dense network's {_largest_dense(proposals, resource)} bound them"
        for resource in unlimited
    ]


def _largest_dense(proposals: Sequence[FirstProposal], resource: Resource) -> str:
    return amount(max(proposal.dense[resource] for proposal in proposals))


def _problem(config: PruningConfig, backend: PruningBackend) -> str | None:
    try:
        backend.check(config)
    except InfeasibleBudgetsError as error:
        return str(error)
    return None


def _limit(proposal: FirstProposal, resource: Resource) -> str:
    """Write the most that a network costs: the budget, or without one the dense network, where that is counted."""
    limit = proposal.limits.get(resource, proposal.dense.get(resource))
    if limit is None:
        return ""
    return f"{amount_of(resource, resource.shown(limit))} ({percent(limit / proposal.dense[resource])})"


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
