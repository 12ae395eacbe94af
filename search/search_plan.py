"""What a search would run, found out without training anything: cost, shared stages, what cannot be met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.samplers import RandomSampler

from pruning_core.budgets import Resource
from pruning_core.config import PruningConfig
from pruning_core.errors import InfeasibleBudgetsError
from reports.formats import amount_of, percent
from search.backend import Facts, PruningBackend
from search.spec import SearchSpec
from search.studies.earlier_studies import read_earlier_trials

__all__ = ["BudgetReach", "SearchPlan", "describe_once", "draw_configurations", "plan_search"]

_NUM_DRAWS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetReach:
    """One budget against what the narrowest allowed network costs.

    ``minimum`` and ``dense`` are absolute, in whole numbers; ``infeasible_share``: of random configurations, that ask
    for less than the minimum.
    """

    resource: Resource
    minimum: int
    dense: int
    infeasible_share: float

    @property
    def minimum_text(self) -> str:
        """The minimum with its unit."""
        return amount_of(self.resource, self.resource.shown(self.minimum))

    def __str__(self) -> str:
        reach = f"reachable minimum {self.minimum_text}, {percent(self.minimum / self.dense)} of the dense network"
        if self.infeasible_share == 0:
            return f"{reach}; every configuration asks for more"
        return f"{reach}; {percent(self.infeasible_share, 0)} of the configurations ask for less and cannot be met"


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan:
    """``facts``: about data and dense network. ``num_shared_stages``: by name, at most one per trial of each.

    ``infeasible_share``: of random configurations, that ask for less than some budget's minimum. ``earlier``: what can
    be learned from which earlier study, in words.
    """

    facts: Facts
    budgets: tuple[BudgetReach, ...]
    infeasible_share: float
    num_shared_stages: Mapping[str, int]
    earlier: tuple[str, ...] = ()

    def check_feasible(self) -> None:
        """Refuse a search in which no configuration can be met.

        Raises:
            InfeasibleBudgetsError: Names the reachable minimum of each budget.
        """
        if self.infeasible_share < 1:
            return
        reach = ", ".join(
            f"{one.resource} {one.minimum / one.dense:.4f} ({one.minimum_text})" for one in self.budgets
        )
        raise InfeasibleBudgetsError(
            "some of the searched budgets must be reachable, but all are below what the narrowest allowed network "
            f"costs: {reach}; raise them, or widen what may be pruned with channels.scope=all"
        )


def plan_search(spec: SearchSpec, backend: PruningBackend) -> SearchPlan:
    """Try random configurations of a search against what its network can reach.

    Raises:
        PrunefrontError: What a user must mend before anything can run.
    """
    configs = draw_configurations(spec, _NUM_DRAWS)
    described = _describe_networks(configs, backend)
    facts = next(iter(described.values()))
    _check_first(spec, backend)
    unmet = [_unmet(config, described[_network_of(config)]) for config in configs]
    resources = {resource for config in configs for resource, _ in config.budgets.items()}
    return SearchPlan(
        facts=facts,
        budgets=tuple(
            BudgetReach(
                resource=resource,
                minimum=min(_counts(described, "minimum", resource)),
                dense=_counts(described, "dense", resource)[0],
                infeasible_share=sum(resource in names for names in unmet) / len(unmet),
            )
            for resource in Resource
            if resource in resources
        ),
        infeasible_share=sum(bool(names) for names in unmet) / len(unmet),
        num_shared_stages=_count_shared_stages(configs, backend, spec.limits.trials),
        earlier=read_earlier_trials(spec).notes,
    )


def _check_first(spec: SearchSpec, backend: PruningBackend) -> None:
    """Refuse configurations to try first that ask for budgets out of reach.

    Raises:
        InfeasibleBudgetsError: Names the configuration, the budget and its minimum.
    """
    for index, point in enumerate(spec.fixed_points):
        config = spec.make_config(point)
        facts = _describe_networks([config], backend)[_network_of(config)]
        for resource in sorted(_unmet(config, facts)):
            if f"budgets.{resource}" in point:
                minimum, dense = (_count(facts, kind, resource) for kind in ("minimum", "dense"))
                text = amount_of(resource, resource.shown(minimum))
                raise InfeasibleBudgetsError(
                    f"'first.{index}': budgets.{resource} must be at least {minimum / dense:.4f} ({text}), what the "
                    f"narrowest allowed network costs, but got {point[f'budgets.{resource}']}"
                )


def draw_configurations(spec: SearchSpec, num_draws: int) -> list[PruningConfig]:
    """Return random configurations of a search, the same ones each time."""
    study = optuna.create_study(sampler=RandomSampler(seed=spec.sampler.seed))
    return [spec.make_config(spec.space.suggest(study.ask())) for _ in range(num_draws)]


def _network_of(config: PruningConfig) -> str:
    """Return what decides how far a network can be pruned; all else may vary without effect on it."""
    resources = " ".join(resource for resource, _ in config.budgets.items())
    about = config.model_dump_json(include={"architecture", "dataset", "channels", "latency_table"})
    return f"{resources} {about}"


def describe_once(backend: PruningBackend) -> Callable[[PruningConfig], Facts]:
    """Return what says what the dense network of a configuration costs; each network is described once."""
    described: dict[str, Facts] = {}

    def describe(config: PruningConfig) -> Facts:
        name = _network_of(config)
        if name not in described:
            described[name] = backend.describe(config)
        return described[name]

    return describe


def _describe_networks(configs: Sequence[PruningConfig], backend: PruningBackend) -> dict[str, Facts]:
    describe = describe_once(backend)
    return {_network_of(config): describe(config) for config in configs}


def _unmet(config: PruningConfig, facts: Facts) -> set[Resource]:
    return {
        resource
        for resource, budget in config.budgets.items()
        if budget.limit(_count(facts, "dense", resource)) < _count(facts, "minimum", resource)
    }


def _count(facts: Facts, kind: str, resource: Resource) -> int:
    return resource.amount(float(str(facts[f"{kind}.{resource}"])))


def _counts(described: Mapping[str, Facts], kind: str, resource: Resource) -> list[int]:
    """Return the amounts of the networks that a budget on the resource is for."""
    return [_count(facts, kind, resource) for facts in described.values() if f"{kind}.{resource}" in facts]


def _count_shared_stages(
    configs: Sequence[PruningConfig], backend: PruningBackend, num_trials: int
) -> dict[str, int]:
    keys: dict[str, set[str]] = {}
    for config in configs:
        for stage in backend.plan(config).stages:
            keys.setdefault(stage.name, set()).add(stage.key)
    return {name: min(len(found), num_trials) for name, found in keys.items()}
