"""Two ways to predict figures of a configuration: a random forest, and Gaussian processes.

Shape suffixes used in this file:
    R  recorded runs, or configurations asked about
    F  features
    Y  figures

References:
    [Breiman2001] L. Breiman. Random Forests. Machine Learning 45, 2001.
    [Rasmussen2006] C. E. Rasmussen, C. K. I. Williams. Gaussian Processes for Machine Learning. MIT Press, 2006.
"""

from __future__ import annotations

import warnings
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, WhiteKernel

__all__ = ["Forest", "Processes", "Regressor"]

Floats = NDArray[np.float64]

_NUM_TREES = 48
_LENGTHS = (0.3, 100.0)


class Regressor(Protocol):
    """Learns figures from features; may be fitted again."""

    def fit(self, features_RF: Floats, figures_RY: Floats) -> Self:
        """Learn, and return itself."""

    def predict(self, features_RF: Floats) -> Floats:
        """Return the means."""


class Forest:
    """A random forest of all figures together [Breiman2001]; each counts by its own spread."""

    def __init__(self, seed: int) -> None:
        self._forest = RandomForestRegressor(_NUM_TREES, min_samples_leaf=2, random_state=seed)

    def fit(self, features_RF: Floats, figures_RY: Floats) -> Self:
        """Learn, and return itself."""
        self._forest.fit(features_RF, figures_RY)
        return self

    def predict(self, features_RF: Floats) -> Floats:
        """Return the means over the trees; the forest's own method starts a thread pool for every question."""
        plain_RF = features_RF.astype(np.float32)
        means_RY: Floats = np.mean(
            [tree.predict(plain_RF, check_input=False) for tree in self._forest.estimators_], axis=0
        )
        return means_RY.reshape(len(features_RF), -1)


class Processes:
    """A Gaussian process for each figure [Rasmussen2006].

    Lengths, scale and noise have the largest likelihood for the data of the first fit, and are kept in later ones:
    folds of the same data do not search for them again, so that what they hold out is not quite unseen.

    Args:
        seed: Where the search for them begins.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kernels: list[Kernel] = []
        self._fitted: list[GaussianProcessRegressor] = []

    def fit(self, features_RF: Floats, figures_RY: Floats) -> Self:
        """Learn, and return itself."""
        self._middle_F, self._spread_F = features_RF.mean(axis=0), features_RF.std(axis=0)
        self._spread_F = np.where(self._spread_F > 0, self._spread_F, 1.0)
        scaled_RF = self._scale(features_RF)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # a length at its bound: the feature does not matter
            if not self._kernels:
                found = [self._search(scaled_RF, figures_R) for figures_R in figures_RY.T]
                self._kernels = [process.kernel_ for process in found]
            self._fitted = [
                GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(scaled_RF, figures_R)
                for kernel, figures_R in zip(self._kernels, figures_RY.T, strict=True)
            ]
        return self

    def predict(self, features_RF: Floats) -> Floats:
        """Return the means."""
        scaled_RF = self._scale(features_RF)
        return np.column_stack([process.predict(scaled_RF) for process in self._fitted])

    def _search(self, scaled_RF: Floats, figures_R: Floats) -> GaussianProcessRegressor:
        lengths_F = np.full(scaled_RF.shape[1], 3.0)
        kernel = ConstantKernel(1.0) * RBF(lengths_F, _LENGTHS) + WhiteKernel(0.3)
        process = GaussianProcessRegressor(
            kernel, normalize_y=True, n_restarts_optimizer=1, random_state=self._seed
        )
        return process.fit(scaled_RF, figures_R)

    def _scale(self, features_RF: Floats) -> Floats:
        scaled_RF: Floats = (features_RF - self._middle_F) / self._spread_F
        return scaled_RF
