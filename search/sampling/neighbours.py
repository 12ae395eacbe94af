"""What trials near a budget tell: how many there are, and a plane fitted around it.

Shape suffixes used in this file:
    N  trials
    C  candidate budgets
    B  budgets that vary, as places in [0, 1] (see `budget_axes`)
    D  coefficients of a plane: its height, then its slope along each budget
    T  quantities that are fitted

References:
    [Scott1992] D. W. Scott. Multivariate Density Estimation. Wiley, 1992.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_locally", "neighbourhood", "num_near"]

Floats = NDArray[np.float64]

_RIDGE = 1e-3
_UNIFORM_STD = 12**-0.5


def neighbourhood(num_trials: int, num_budgets: int) -> float:
    """Return the distance within which trials are neighbours: Scott's rule for evenly spread budgets [Scott1992]."""
    return float(_UNIFORM_STD * max(num_trials, 1) ** (-1 / (num_budgets + 4)))


def num_near(places_NB: Floats, at_CB: Floats, width: float) -> Floats:
    """Return how many trials are near each candidate; the further away, the less one counts."""
    near_C: Floats = np.exp(-0.5 * _squares(at_CB, places_NB) / width**2).sum(axis=1)
    return near_C


def fit_locally(places_NB: Floats, values_NT: Floats, at_CB: Floats, width: float) -> Floats:
    """Fit a plane around each candidate, trials weighing less the further they lie beyond the nearest one.

    Returns:
        The planes' values at the candidates, C x T.
    """
    squares_CN = _squares(at_CB, places_NB)
    weights_CN = np.exp(-0.5 * (squares_CN - squares_CN.min(axis=1, keepdims=True)) / width**2)
    design_ND = np.column_stack([np.ones(len(places_NB)), places_NB])
    normal_CDD = _weighted_products(weights_CN, design_ND, design_ND)
    slopes = np.arange(1, design_ND.shape[1])
    normal_CDD[:, slopes, slopes] += _RIDGE * weights_CN.sum(axis=1, keepdims=True)
    planes_CDT = np.linalg.solve(normal_CDD, _weighted_products(weights_CN, design_ND, values_NT))
    values_CT: Floats = planes_CDT[:, 0] + (at_CB[:, :, None] * planes_CDT[:, 1:]).sum(axis=1)
    return values_CT


def _weighted_products(weights_CN: Floats, left_ND: Floats, right_NT: Floats) -> Floats:
    """Return the sum over trials of weight, left and right, C x D x T."""
    products_NP = (left_ND[:, :, None] * right_NT[:, None]).reshape(len(left_ND), -1)
    return (weights_CN @ products_NP).reshape(-1, left_ND.shape[1], right_NT.shape[1])


def _squares(at_CB: Floats, places_NB: Floats) -> Floats:
    """Return squared distances, C x N; budget by budget, so that no C x N x B array is made."""
    squares_CN = np.zeros((len(at_CB), len(places_NB)))
    for at_C, places_N in zip(at_CB.T, places_NB.T, strict=True):
        squares_CN += (at_C[:, None] - places_N) ** 2
    return squares_CN
