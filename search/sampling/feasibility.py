"""How likely a network of some budgets meets the constraints of a search, from by how much trials near there did.

Shape suffixes used in this file:
    N  trials with values
    C  candidate budgets
    B  budgets that vary, as places in [0, 1] (see `budget_axes`)
    K  constraints
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from search.sampling.neighbours import fit_locally

__all__ = ["chances_to_meet", "violations_of"]

Floats = NDArray[np.float64]

_LEAST_SPREAD = 0.01
"""Of a fit's errors, as a share of the range of violations: nothing is quite certain."""


def violations_of(trials: Sequence[FrozenTrial]) -> Floats:
    """Return by how much trials miss each constraint that some of them miss, N x K; 0 and below is met."""
    missed = sorted({name for trial in trials for name, value in trial.constraints.items() if value > 0})
    rows = [[trial.constraints.get(name, 0.0) for name in missed] for trial in trials]
    return np.array(rows, dtype=np.float64).reshape(len(trials), len(missed))


def chances_to_meet(violations_NK: Floats, places_NB: Floats, at_CB: Floats, width: float) -> Floats:
    """Return how likely networks at some places meet all constraints, by planes fitted to the violations near there.

    Args:
        violations_NK: Of at least one trial, as `violations_of` returns them; K may be 0.
        places_NB: Of the trials.
        at_CB: Where networks are asked about.
        width: The distance within which trials are neighbours.
    """
    if violations_NK.shape[1] == 0:
        return np.ones(len(at_CB))
    fitted_NK = fit_locally(places_NB, violations_NK, places_NB, width)
    errors_K = np.sqrt(((violations_NK - fitted_NK) ** 2).mean(axis=0))
    spread_K = np.maximum(errors_K, _LEAST_SPREAD * np.ptp(violations_NK, axis=0)) + 1e-12
    chances_C: Floats = ndtr(-fit_locally(places_NB, violations_NK, at_CB, width) / spread_K).prod(axis=1)
    return chances_C
