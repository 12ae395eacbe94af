"""A sampler that searches along the budgets for accuracy.

Budgets are met exactly, so where on the cost axes a network will lie is chosen, not searched for. A proposal is made
in two steps: the budgets where the front would gain the most (`front_gaps`), then all other fields from a
tree-structured Parzen estimator [Bergstra2011] of one objective, how much more accurate a trial is than trials of such
budgets are on average, over the trials whose budgets are nearest to the chosen ones. Failed and stopped
trials count as bad there, running ones too.

References:
    [Bergstra2011] J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl. Algorithms for hyper-parameter optimization.
        NeurIPS 2011.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from search.sampling.budget_axes import BudgetAxis
from search.sampling.budget_sampler import BudgetSampler, has_budgets, is_violating
from search.sampling.feasibility import violations_of
from search.sampling.front_gaps import FrontKnowledge, gaps, residuals
from search.sampling.parzen import make_parzen_sampler
from search.sampling.search_task import SearchTask
from spaces import Value

__all__ = ["AlongFrontSampler"]

Floats = NDArray[np.float64]

_NUM_CANDIDATES = 128
_MAX_CORNERS = 32
_NUM_NEIGHBOURS = 64
"""Trials that the other fields are learned from, at most: Parzen estimators of more cost time and blur."""

_NUM_STARTUP = 8
"""Trials with values before the other fields follow a model."""


class AlongFrontSampler(BudgetSampler):
    """Chooses budgets by the front's gaps, and the rest by what was accurate at such budgets."""

    def propose(self, trials: Sequence[FrozenTrial], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration; of budgets that are given, with those."""
        history = _History(trials, self._axes, self._task)
        return self._draw_rest(history, {**self._choose_budgets(history), **given})

    def _choose_budgets(self, history: _History) -> dict[str, Value]:
        rng = np.random.default_rng(self._seed)
        corners = list(itertools.islice(itertools.product((0.0, 1.0), repeat=len(self._axes)), _MAX_CORNERS))
        drawn = rng.random((_NUM_CANDIDATES, len(self._axes)))
        candidates = list(
            dict.fromkeys(
                tuple(axis.value(place) for axis, place in zip(self._axes, row, strict=True))
                for row in [*corners, *drawn.tolist()]
            )
        )
        added = gaps(
            history.known,
            history.surplus,
            history.places(candidates),
            history.limits(candidates),
        )
        largest = np.flatnonzero(added >= added.max())
        chosen = candidates[int(rng.choice(largest))]
        return {axis.name: value for axis, value in zip(self._axes, chosen, strict=True)}

    def _draw_rest(self, history: _History, given: Mapping[str, Value]) -> dict[str, Any]:
        study = optuna.create_study(
            direction="maximize",
            sampler=make_parzen_sampler(self._seed, num_startup=_NUM_STARTUP),
        )
        study.add_trials(history.lessons(given, _NUM_NEIGHBOURS))
        return self._task.space.suggest(study.ask(), given)


class _History:
    """A study's trials, by what became of them; `known` and `surplus` need one that is complete."""

    def __init__(self, trials: Sequence[FrozenTrial], axes: Sequence[BudgetAxis], task: SearchTask) -> None:
        self._axes = axes
        self._task = task
        usable = [trial for trial in trials if has_budgets(trial, axes)]
        self.complete = [trial for trial in usable if trial.state is TrialState.COMPLETE]
        self._running = [trial for trial in usable if trial.state is TrialState.RUNNING]
        self._without_values = [
            trial for trial in usable if trial.state in {TrialState.FAIL, TrialState.PRUNED}
        ]

    @cached_property
    def surplus(self) -> Floats:
        """By how much each complete trial is more accurate than its budgets lead to expect."""
        return residuals(self.known.places_NB, self.known.accuracy_N)

    @cached_property
    def known(self) -> FrontKnowledge:
        """What is known about the front."""
        names = list(self._task.objectives)
        values = np.array([trial.values for trial in self.complete], dtype=float)
        accuracy = names.index("accuracy")
        filled = self._running + [
            trial for trial in self._without_values if trial.state is TrialState.FAIL or is_violating(trial)
        ]
        return FrontKnowledge(
            places_NB=self._places_of(self.complete),
            accuracy_N=values[:, accuracy],
            costs_NM=np.maximum(np.delete(values, accuracy, axis=1), 1e-12),
            limits_NM=self.limits([self._budgets(trial) for trial in self.complete]),
            violations_NK=violations_of(self.complete),
            filled_FB=self._places_of(filled),
            filled_limits_FM=self.limits([self._budgets(trial) for trial in filled]),
            lost_LB=self._places_of(self._without_values),
        )

    def places(self, budgets: Sequence[Sequence[float]]) -> Floats:
        """Return budgets as places in [0, 1]."""
        places = [[axis.place(value) for axis, value in zip(self._axes, row, strict=True)] for row in budgets]
        return np.array(places, dtype=float).reshape(-1, len(self._axes))

    def limits(self, budgets: Sequence[Sequence[float]]) -> Floats:
        """Return the budget on each cost among the objectives; 1 where none varies."""
        costs = [name for name in self._task.objectives if name != "accuracy"]
        by_resource = {axis.resource: index for index, axis in enumerate(self._axes)}
        limits = [
            [row[by_resource[cost]] if cost in by_resource else 1.0 for cost in costs] for row in budgets
        ]
        return np.array(limits, dtype=float).reshape(-1, len(costs))

    def lessons(self, given: Mapping[str, Value], limit: int) -> list[FrozenTrial]:
        """Return trials of all fields but the given ones, with how well they did for their budgets.

        The nearest ones come last, because a Parzen estimator gives the last the most weight.
        """
        told = [
            *(
                (trial, TrialState.COMPLETE, float(one))
                for trial, one in zip(self.complete, self.surplus, strict=True)
            ),
            *(
                (trial, TrialState.PRUNED, None)
                for trial in self._without_values
                if not is_violating(trial)  # out of reach: no fault of the other fields
            ),
        ]
        here = self.places([[float(str(given[axis.name])) for axis in self._axes]])
        distances = ((self._places_of([trial for trial, *_ in told]) - here) ** 2).sum(axis=1)
        nearest = np.argsort(distances, kind="stable")[:limit][::-1]
        chosen = [told[index] for index in nearest] + [
            (trial, TrialState.RUNNING, None) for trial in self._running[-limit:]
        ]
        return [_without(trial, given, state, value) for trial, state, value in chosen]

    def _places_of(self, trials: Sequence[FrozenTrial]) -> Floats:
        return self.places([self._budgets(trial) for trial in trials])

    def _budgets(self, trial: FrozenTrial) -> list[float]:
        return [float(trial.params[axis.name]) for axis in self._axes]


def _without(
    trial: FrozenTrial, given: Mapping[str, Value], state: TrialState, value: float | None
) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params={name: one for name, one in trial.params.items() if name not in given},
        distributions={name: one for name, one in trial.distributions.items() if name not in given},
    )
