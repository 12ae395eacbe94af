"""A sampler that guesses accuracies only: costs are known from the budgets.

A proposal is the configuration that can be expected to add the most hypervolume (`expected_front`): its accuracy is
guessed from all trials by a Gaussian process (`accuracy_model`), its costs are its budgets times the part of them that
trials near there used. Trials that run, failed or could not meet their budgets count as if they had reached what is
expected of them, and near the latter two proposals lose their appeal, as they do where constraints were missed or are
likely to be (`feasibility`). The box of costs ends at the dense network's, as far as shares of it tell what it costs;
that is the hypervolume of reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from search.sampling.accuracy_model import AccuracyModel
from search.sampling.budget_axes import BudgetAxis
from search.sampling.budget_sampler import BudgetSampler, has_budgets, is_violating
from search.sampling.expected_front import box_points, expected_gains, within_reach
from search.sampling.feasibility import chances_to_meet, violations_of
from search.sampling.inputs import Inputs
from search.sampling.neighbours import fit_locally, neighbourhood, num_near
from search.sampling.search_task import SearchTask
from search.studies.snapshot import RUNG

__all__ = ["KnownCostsSampler"]

Floats = NDArray[np.float64]

_NUM_SPREAD = 640
_NUM_NEAR = 256
_NUM_BEST = 16
_MOST_OBSERVED = 320
"""Ends and rungs that the model is made of, the newest rungs: its time grows with their square and cube."""
_STEP = 0.08
"""Standard deviation of a step from a good configuration, in every input."""


class KnownCostsSampler(BudgetSampler):
    """Proposes what can be expected to add the most hypervolume at costs that are known."""

    def propose(self, trials: Sequence[FrozenTrial], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration; of values that are given, with those."""
        return self._choose(_Known(trials, self._axes, self._task), given)

    def _choose(self, known: _Known, given: Mapping[str, Any]) -> dict[str, Any]:
        rng = np.random.default_rng(self._seed)
        inputs = known.inputs
        rows_CF = rng.random((_NUM_SPREAD, inputs.num_inputs))
        near_CF = known.good_inputs
        best_F, most = near_CF[0], -1.0
        for _ in range(2):  # all over the space and near the front, then near the best of these
            around_CF = near_CF[rng.integers(len(near_CF), size=_NUM_NEAR)]
            around_CF = around_CF + rng.normal(scale=_STEP, size=around_CF.shape)
            rows_CF = inputs.settle(np.vstack([rows_CF, around_CF]), given)
            gains_C = known.gains(rows_CF)
            order = np.argsort(-gains_C, kind="stable")[:_NUM_BEST]
            if gains_C[order[0]] > most:
                best_F, most = rows_CF[order[0]], float(gains_C[order[0]])
            near_CF, rows_CF = rows_CF[order], rows_CF[:0]
        return {**inputs.values(best_F), **given}


class _Known:
    """What a study's trials tell; all but `complete` need one that is complete."""

    def __init__(self, trials: Sequence[FrozenTrial], axes: Sequence[BudgetAxis], task: SearchTask) -> None:
        self._axes = axes
        self._task = task
        self._trials = [trial for trial in trials if has_budgets(trial, axes)]
        self.complete = [trial for trial in self._trials if trial.state is TrialState.COMPLETE]
        self._running = [trial for trial in self._trials if trial.state is TrialState.RUNNING]
        self._lost = [
            trial
            for trial in self._trials
            if trial.state is TrialState.FAIL or (trial.state is TrialState.PRUNED and is_violating(trial))
        ]
        names = list(task.objectives)
        self._accuracy_at = names.index("accuracy")
        self._costs = [name for name in names if name != "accuracy"]

    @cached_property
    def inputs(self) -> Inputs:
        """How configurations are written."""
        return Inputs(self._task.space)

    @property
    def good_inputs(self) -> Floats:
        """Rows of the trials that have the best accuracy within some costs; of all, if none has any."""
        best_U = within_reach(self._points, self._accuracy, self._cost_shares)
        is_good_N = np.isin(self._accuracy, best_U[best_U > 0])
        return self._rows[is_good_N] if is_good_N.any() else self._rows

    def gains(self, rows_CF: Floats) -> Floats:
        """Return what each configuration can be expected to add."""
        best_U = self._best
        means_C, deviations_C = self._model.predict(_at_the_end(rows_CF))
        gains_C = expected_gains(self._points, best_U, self._foreseen_costs(rows_CF), means_C, deviations_C)
        return gains_C * self._chances(rows_CF)

    @cached_property
    def _rows(self) -> Floats:
        return self.inputs.encode([trial.params for trial in self.complete])

    @cached_property
    def _values(self) -> Floats:
        return np.array([trial.values for trial in self.complete], dtype=np.float64)

    @cached_property
    def _violations(self) -> Floats:
        return violations_of(self.complete)

    @property
    def _is_out(self) -> NDArray[np.bool_]:
        """Whether a complete trial misses a constraint."""
        return np.asarray((self._violations > 0).any(axis=1), dtype=np.bool_)

    @cached_property
    def _accuracy(self) -> Floats:
        """Return accuracies; of trials that miss a constraint none, since they are not of the front."""
        accuracy_N = self._values[:, self._accuracy_at]
        return np.where(self._is_out, 0.0, accuracy_N)

    @cached_property
    def _raw_costs(self) -> Floats:
        return np.maximum(np.delete(self._values, self._accuracy_at, axis=1), 1e-12)

    @cached_property
    def _known_limits(self) -> Floats:
        return self._limits(self._rows)

    @cached_property
    def _reference(self) -> Floats:
        """What the box of costs ends at."""
        dense_M = (self._raw_costs / self._known_limits).max(axis=0)
        largest_M = self._raw_costs.max(axis=0)
        is_share_M = (self._known_limits < 1).any(axis=0) & (self._known_limits <= 1).all(axis=0)
        reference_M: Floats = np.where(is_share_M, dense_M, 1.1 * largest_M)
        return reference_M

    @property
    def _cost_shares(self) -> Floats:
        return self._raw_costs / self._reference

    @cached_property
    def _points(self) -> Floats:
        return box_points(len(self._costs))

    @cached_property
    def _model(self) -> AccuracyModel:
        rungs = sorted({epochs for trial in self._trials for epochs, _ in _rungs_of(trial)})
        left = {epochs: 1 - index / len(rungs) for index, epochs in enumerate(rungs)}  # 0 is the end
        seen = [
            (trial.params, left[epochs], accuracy)
            for trial in reversed(self._trials)
            for epochs, accuracy in reversed(_rungs_of(trial))
        ][: max(0, _MOST_OBSERVED - len(self.complete))]
        rows = np.column_stack(
            [self.inputs.encode([params for params, *_ in seen]), [place for _, place, _ in seen]]
        )
        accuracy_N = self._values[:, self._accuracy_at]
        return AccuracyModel(
            np.vstack([_at_the_end(self._rows), rows]),
            np.concatenate([accuracy_N, [accuracy for *_, accuracy in seen]]),
        )

    @cached_property
    def _best(self) -> Floats:
        """Return the accuracy within reach if all that runs or came to nothing had ended as expected of it.

        The model believes in it, so that what runs, or cannot be had, is not asked for again.
        """
        rows_CF = self.inputs.encode([trial.params for trial in [*self._running, *self._lost]])
        accuracy_N, costs_NM = self._accuracy, self._cost_shares
        if len(rows_CF):
            accuracy_N = np.concatenate([accuracy_N, self._model.predict(_at_the_end(rows_CF))[0]])
            costs_NM = np.vstack([costs_NM, self._foreseen_costs(rows_CF)])
            self._model.believe(_at_the_end(rows_CF))
        return within_reach(self._points, accuracy_N, costs_NM)

    def _foreseen_costs(self, rows_CF: Floats) -> Floats:
        uses_NM = np.log(self._raw_costs / self._known_limits)
        width = neighbourhood(len(self.complete), len(self._axes))
        fitted_CM = fit_locally(self._places(self._rows), uses_NM, self._places(rows_CF), width)
        uses_CM = np.clip(fitted_CM, uses_NM.min(axis=0), uses_NM.max(axis=0))
        costs_CM: Floats = self._limits(rows_CF) * np.exp(uses_CM) / self._reference
        return costs_CM

    def _chances(self, rows_CF: Floats) -> Floats:
        """Return how likely a network that meets all limits comes of budgets, from what came of trials near them."""
        width = neighbourhood(len(self._trials), len(self._axes))
        at_CB, places_NB = self._places(rows_CF), self._places(self._rows)
        lost_LB = self._places(self.inputs.encode([trial.params for trial in self._lost]))
        won_C = num_near(places_NB[~self._is_out], at_CB, width)
        lost_C = num_near(np.vstack([places_NB[self._is_out], lost_LB]), at_CB, width)
        chances_C: Floats = (1.0 + won_C) / (1.0 + won_C + lost_C)
        return chances_C * chances_to_meet(self._violations, places_NB, at_CB, width)

    def _places(self, rows_CF: Floats) -> Floats:
        return np.column_stack([axis.places(self.inputs.budgets(rows_CF, axis)) for axis in self._axes])

    def _limits(self, rows_CF: Floats) -> Floats:
        axes = {axis.resource: axis for axis in self._axes}
        limits = [
            self.inputs.budgets(rows_CF, axes[cost]) if cost in axes else np.ones(len(rows_CF))
            for cost in self._costs
        ]
        return np.column_stack(limits)


def _at_the_end(rows_CF: Floats) -> Floats:
    """Return rows with one more input: that nothing is left to train."""
    return np.column_stack([rows_CF, np.zeros(len(rows_CF))])


def _rungs_of(trial: FrozenTrial) -> list[tuple[int, float]]:
    """Return what a trial had at its rungs, as pairs of epochs and accuracy, in rising order."""
    rungs = []
    for name, reached in trial.user_attrs.items():
        if name.startswith(RUNG):
            result = reached["outcome"]["result"]
            rungs.append(
                (int(name.removeprefix(RUNG)), result["num_correct_fine_tuned"] / result["num_images"])
            )
    return sorted(rungs)
