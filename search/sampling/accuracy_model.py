"""What accuracy a configuration can be expected to reach: a Gaussian process over all fields.

Trials that were stopped early or still run count with what they had at their rungs: how far a network was trained is
one more input, so that a rung tells as much about the end as the data say it does.

Shape suffixes used in this file:
    N  observations
    F  inputs, in [0, 1]
    C  configurations asked about

References:
    [Rasmussen2006] C. E. Rasmussen, C. K. I. Williams. Gaussian Processes for Machine Learning. MIT Press, 2006.
    [Ginsbourger2010] D. Ginsbourger, R. Le Riche, L. Carraro. Kriging is well-suited to parallelize optimization. 2010.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

__all__ = ["AccuracyModel"]

Floats = NDArray[np.float64]

_LENGTHS = (0.2, 20.0)
_NOISES = (1e-4, 1.0)
_NUGGET = 1e-8


class AccuracyModel:
    """A Gaussian process [Rasmussen2006] whose scale, noise and one length per input have the largest likelihood.

    Args:
        inputs_NF: At least one observation.
        accuracy_N: What was observed.
    """

    def __init__(self, inputs_NF: Floats, accuracy_N: Floats) -> None:
        self._inputs_NF = inputs_NF
        self._mean = float(accuracy_N.mean())
        self._spread = float(accuracy_N.std()) or 1.0
        self._targets_N = (accuracy_N - self._mean) / self._spread
        lengths_F = np.ones(inputs_NF.shape[1])
        kernel = ConstantKernel(1.0, (0.05, 20.0)) * Matern(lengths_F, _LENGTHS, nu=2.5)
        self._process = GaussianProcessRegressor(kernel + WhiteKernel(0.1, _NOISES), alpha=_NUGGET)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # a length at its bound: the input does not matter
            self._process.fit(inputs_NF, self._targets_N)

    def predict(self, inputs_CF: Floats) -> tuple[Floats, Floats]:
        """Return means and standard deviations of the accuracy itself, without the noise of one training."""
        means_C, deviations_C = self._process.predict(inputs_CF, return_std=True)
        noise = self._process.kernel_.k2.noise_level
        certain_C = np.sqrt(np.maximum(deviations_C**2 - noise, 1e-12))
        return self._mean + self._spread * means_C, self._spread * certain_C

    def believe(self, inputs_CF: Floats) -> None:
        """Take configurations for observed as they are predicted [Ginsbourger2010]: what runs need not run again."""
        if len(inputs_CF) == 0:
            return
        means_C = self._process.predict(inputs_CF)
        self._inputs_NF = np.vstack([self._inputs_NF, inputs_CF])
        self._targets_N = np.concatenate([self._targets_N, means_C])
        self._process = GaussianProcessRegressor(self._process.kernel_, alpha=_NUGGET, optimizer=None)
        self._process.fit(self._inputs_NF, self._targets_N)
