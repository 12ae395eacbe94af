"""Where along the budgets the present front would gain the most from one more network.

What a network costs is known from its budgets before it runs, so all that is to be guessed is its accuracy. For each of
a set of candidate budgets three numbers are worked out from the trials so far:

* the cost: what trials near there cost, as a share of their budgets, times the budget;
* the accuracy within reach: what trials near there have on average, plus what the better tenth of all trials have
  above such an average;
* the chance: how often trials near there made the front, were they dominated, stopped, failed, or missed a limit,
  times how likely all constraints are met (`feasibility`).

The gap is the hypervolume that such a network would add, times the chance. Trials that still run count as if they had
reached what is within reach, so that slots that work at the same time do not fill the same gap; and so do those that
failed or could not meet their budgets, so that what cannot be had is not asked for again and again.

Shape suffixes used in this file:
    N  trials with values
    F  trials whose budgets count as filled
    L  trials without a network
    C  candidate budgets
    B  budgets that vary, as places in [0, 1] (see `budget_axes`)
    K  constraints that some trial misses
    M  objectives, as losses: lower is better
    T  quantities that are fitted
"""

from __future__ import annotations

from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from search.sampling.feasibility import chances_to_meet
from search.sampling.neighbours import fit_locally, neighbourhood, num_near

__all__ = ["FrontKnowledge", "gaps", "residuals"]

Floats = NDArray[np.float64]

_BETTER_TENTH = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontKnowledge:
    """What is known when a budget is chosen.

    ``places_NB``, ``accuracy_N``, ``costs_NM`` (absolute, above 0): of trials with values. ``limits_NM``: the budget
    on each cost, 1 where none varies. ``violations_NK``: by how much they miss constraints. ``filled_FB``,
    ``filled_limits_FM``: of trials that run, failed, or could not meet their budgets. ``lost_LB``: places of trials
    that ended without values.
    """

    places_NB: Floats
    accuracy_N: Floats
    costs_NM: Floats
    limits_NM: Floats
    violations_NK: Floats
    filled_FB: Floats
    filled_limits_FM: Floats
    lost_LB: Floats

    @property
    def is_feasible_N(self) -> NDArray[np.bool_]:  # noqa: N802 - as the arrays beside it
        """Whether trials with values meet all constraints."""
        return np.asarray((self.violations_NK <= 0).all(axis=1), dtype=np.bool_)


def residuals(places_NB: Floats, accuracy_N: Floats) -> Floats:
    """Return by how much each trial is more accurate than trials near its budgets are on average."""
    width = neighbourhood(*places_NB.shape)
    return accuracy_N - fit_locally(places_NB, accuracy_N[:, None], places_NB, width)[:, 0]


def gaps(known: FrontKnowledge, surplus_N: Floats, candidates_CB: Floats, limits_CM: Floats) -> Floats:
    """Return for each candidate the hypervolume that it can be expected to add, in no particular unit.

    Args:
        known: At least one trial with values.
        surplus_N: What `residuals` returns for these trials.
        candidates_CB: Places of the budgets to choose between.
        limits_CM: The same budgets in the units of ``known.limits_NM``.
    """
    width = neighbourhood(*known.places_NB.shape)
    better = float(np.quantile(surplus_N, _BETTER_TENTH))

    def foresee(places_CB: Floats, limits_CM: Floats) -> Floats:
        uses_NM = np.log(known.costs_NM / known.limits_NM)
        targets_NT = np.column_stack([known.accuracy_N, uses_NM])
        fitted_CT = fit_locally(known.places_NB, targets_NT, places_CB, width)
        uses_CM = np.clip(fitted_CT[:, 1:], uses_NM.min(axis=0), uses_NM.max(axis=0))
        return np.column_stack([-(fitted_CT[:, 0] + better), np.log(limits_CM) + uses_CM])

    losses_NM = np.column_stack([-known.accuracy_N, np.log(known.costs_NM)])
    front_NM = losses_NM[known.is_feasible_N]
    front_NM = front_NM[_on_front(front_NM)]
    foreseen_CM = foresee(candidates_CB, limits_CM)
    everything = np.concatenate([front_NM, foreseen_CM])
    low_M, high_M = everything.min(axis=0), everything.max(axis=0)
    span_M = np.where(high_M > low_M, high_M - low_M, 1.0)
    if len(known.filled_FB):
        front_NM = np.concatenate([front_NM, foresee(known.filled_FB, known.filled_limits_FM)])
    volumes_C = _added_volumes((front_NM - low_M) / span_M, (foreseen_CM - low_M) / span_M)
    return volumes_C * _chances(known, losses_NM, candidates_CB, width)


def _on_front(losses_NM: Floats) -> NDArray[np.bool_]:
    if len(losses_NM) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(losses_NM), dtype=np.bool_)


def _added_volumes(front_NM: Floats, candidates_CM: Floats) -> Floats:
    """Return what each candidate adds to the volume that the front dominates, up to a tenth beyond the worst values."""
    reference_M = np.full(candidates_CM.shape[1], 1.1)
    volume = float(moocore.hypervolume(front_NM, ref=reference_M)) if len(front_NM) else 0.0
    return np.array(
        [
            float(moocore.hypervolume(np.vstack([front_NM, candidate_M]), ref=reference_M)) - volume
            for candidate_M in candidates_CM
        ]
    )


def _chances(known: FrontKnowledge, losses_NM: Floats, candidates_CB: Floats, width: float) -> Floats:
    is_won_N = np.zeros(len(losses_NM), dtype=np.bool_)
    feasible = np.flatnonzero(known.is_feasible_N)
    is_won_N[feasible[_on_front(losses_NM[feasible])]] = True
    won_C = num_near(known.places_NB[is_won_N], candidates_CB, width)
    lost_LB = np.concatenate([known.places_NB[~is_won_N], known.lost_LB])
    chances_C: Floats = (1.0 + won_C) / (1.0 + won_C + num_near(lost_LB, candidates_CB, width))
    met_C = chances_to_meet(known.violations_NK, known.places_NB, candidates_CB, width)
    return chances_C * met_C
