"""What samplers have in common that look at budgets apart from all other fields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController

from search.sampling.budget_axes import BudgetAxis, budget_axes
from search.sampling.search_task import SearchTask

__all__ = ["BudgetSampler", "has_budgets", "is_violating"]


class BudgetSampler(BaseSampler):
    """Proposes whole configurations, once there are enough trials with values to learn from.

    Args:
        task: The search; at least one budget must vary in it.
        start: Proposes until then.
        seed: Of this one proposal.
    """

    def __init__(self, task: SearchTask, start: BaseSampler, seed: int) -> None:
        self._task = task
        self._start = start
        self._seed = seed
        self._axes: Sequence[BudgetAxis] = budget_axes(task.space)
        assert self._axes, "at least one budget must vary"

    @abstractmethod
    def propose(self, trials: Sequence[FrozenTrial], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration with the values that are given; ``trials``: all others of the study."""

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: all fields are chosen together."""
        return dict(self._task.space.distributions)

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002 - the space of the task
    ) -> dict[str, Any]:
        """Return a configuration; of values that are given for the trial, with those."""
        trials = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        num_complete = sum(
            one.state is TrialState.COMPLETE and has_budgets(one, self._axes) for one in trials
        )
        if num_complete < 2 * (len(self._axes) + 1):
            together = self._start.infer_relative_search_space(study, trial)
            return self._start.sample_relative(study, trial, together)
        with _linear_algebra().limit(limits=1, user_api="blas"):
            return self.propose(trials, dict(trial.system_attrs.get("fixed_params", {})))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one field as the sampler does that proposes at the start."""
        return self._start.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare the sampler that proposes at the start."""
        self._start.before_trial(study, trial)


@cache
def _linear_algebra() -> ThreadpoolController:
    """Return what sets the number of threads: matrices here are small, and threads that wait for another spin."""
    return ThreadpoolController()


def has_budgets(trial: FrozenTrial, axes: Sequence[BudgetAxis]) -> bool:
    """Tell whether a trial has a value of every budget that varies; those of earlier studies may lack one."""
    return all(axis.name in trial.params for axis in axes)


def is_violating(trial: FrozenTrial) -> bool:
    """Tell whether a trial misses a constraint, such as budgets that cannot be met."""
    return any(value > 0 for value in trial.constraints.values())
