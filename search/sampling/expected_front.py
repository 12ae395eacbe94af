"""How much hypervolume a network can be expected to add, when its costs are known and its accuracy is a guess.

Let g(u) be the best accuracy on the front within the costs u. The hypervolume is the mean of g over the box of costs.
A network of costs c and accuracy a adds the mean of max(a - g(u), 0) over the u that allow c; for a normal a, what is
expected of the maximum is the closed form of [Jones1998]. So the expected gain of hypervolume [Emmerich2006] is a mean
over points of the box, for any number of costs.

Shape suffixes used in this file:
    N  networks on or off the front
    C  candidates
    U  points of the box of costs
    K  levels, different accuracies that are within reach
    M  costs, as shares of the reference: in [0, 1], lower is better

References:
    [Jones1998] D. R. Jones, M. Schonlau, W. J. Welch. Efficient global optimization of expensive black-box functions.
        Journal of Global Optimization 13, 1998.
    [Emmerich2006] M. Emmerich, K. Giannakoglou, B. Naujoks. Single- and multiobjective evolutionary optimization
        assisted by Gaussian random field metamodels. IEEE Transactions on Evolutionary Computation 10(4), 2006.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

__all__ = ["box_points", "expected_gains", "within_reach"]

Floats = NDArray[np.float64]

_LOG2_POINTS = 11


def box_points(num_costs: int) -> Floats:
    """Return points that are spread evenly over the box of costs, always the same."""
    return np.asarray(qmc.Sobol(num_costs, rng=0).random_base2(_LOG2_POINTS), dtype=np.float64)


def within_reach(points_UM: Floats, accuracy_N: Floats, costs_NM: Floats) -> Floats:
    """Return the best accuracy within each point's costs; 0 where no network is that cheap."""
    best_U: Floats = np.where(_allowed(points_UM, costs_NM).T, accuracy_N, 0.0).max(axis=1, initial=0.0)
    return best_U


def expected_gains(
    points_UM: Floats, best_U: Floats, costs_CM: Floats, means_C: Floats, deviations_C: Floats
) -> Floats:
    """Return what each candidate can be expected to add, as a share of the box.

    Args:
        points_UM: Of the box of costs.
        best_U: The accuracy that is reached within them so far.
        costs_CM: Of the candidates.
        means_C: Of their accuracies.
        deviations_C: Of their accuracies, above 0.
    """
    rising_U = np.argsort(best_U, kind="stable")
    levels_K, first_K = np.unique(best_U[rising_U], return_index=True)
    is_allowed_CU = _allowed(points_UM[rising_U], costs_CM)
    parts_CK = np.add.reduceat(is_allowed_CU, first_K, axis=1, dtype=np.int32) / len(points_UM)
    scaled_CK = (means_C[:, None] - levels_K) / deviations_C[:, None]
    density_CK = np.exp(-0.5 * scaled_CK**2) / np.sqrt(2 * np.pi)
    gains_C: Floats = deviations_C * (parts_CK * (scaled_CK * ndtr(scaled_CK) + density_CK)).sum(axis=1)
    return gains_C


def _allowed(points_UM: Floats, costs_CM: Floats) -> NDArray[np.bool_]:
    """Tell which points allow a network of which costs, C x U; in single precision, for half the memory traffic."""
    points_MU, costs_MC = (values.T.astype(np.float32, order="C") for values in (points_UM, costs_CM))
    is_allowed_CU = np.ones((len(costs_CM), len(points_UM)), dtype=np.bool_)
    for points_U, costs_C in zip(points_MU, costs_MC, strict=True):
        is_allowed_CU &= points_U >= costs_C[:, None]
    return is_allowed_CU
