"""What accuracy a configuration can be expected to reach: a Gaussian process over all fields.

Trials that were stopped early or still run count with what they had at their rungs: how far a network was trained is
one more input, so that a rung tells as much about the end as the data say it does.

Shape suffixes used in this file:
    N  observations
    F  inputs, in [0, 1]
    C  configurations asked about

References:
    [Ginsbourger2010] D. Ginsbourger, R. Le Riche, L. Carraro. Kriging is well-suited to parallelize optimization. 2010.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.sampling.gaussian_process import GaussianProcess, fit_kernel

__all__ = ["AccuracyModel"]

Floats = NDArray[np.float64]

_MOST_FITTED = 96
"""Observations that scale, noise and lengths are fitted to: so many tell them, and more take long."""


class AccuracyModel:
    """A Gaussian process over accuracies.

    Args:
        inputs_NF: At least one observation.
        accuracy_N: What was observed.
    """

    def __init__(self, inputs_NF: Floats, accuracy_N: Floats) -> None:
        self._mean = float(accuracy_N.mean())
        self._spread = float(accuracy_N.std()) or 1.0
        targets_N = (accuracy_N - self._mean) / self._spread
        fitted = np.linspace(0, len(targets_N) - 1, min(len(targets_N), _MOST_FITTED)).astype(int)
        kernel = fit_kernel(inputs_NF[fitted], targets_N[fitted])
        self._process = GaussianProcess(kernel, inputs_NF, targets_N)

    def predict(self, inputs_CF: Floats) -> tuple[Floats, Floats]:
        """Return means and standard deviations of the accuracy itself, without the noise of one training."""
        means_C, deviations_C = self._process.predict(inputs_CF)
        return self._mean + self._spread * means_C, self._spread * deviations_C

    def believe(self, inputs_CF: Floats) -> None:
        """Take configurations for observed as they are predicted [Ginsbourger2010]: what runs need not run again."""
        if len(inputs_CF) == 0:
            return
        means_C, _ = self._process.predict(inputs_CF)
        self._process = self._process.with_observations(inputs_CF, means_C)
