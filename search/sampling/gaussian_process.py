"""A Gaussian process that is fitted within milliseconds: a search asks for it before every trial.

Matern kernel 5/2 with one length per input, times a scale, plus noise; scale, lengths and noise are those of the
largest posterior density, found by its gradient. Searches have few trials and many fields, so it is believed beforehand
that lengths are rather long: that most fields matter little. scikit-learn's process has no such prior, and keeps a
derivative of the kernel for every pair of observations and every parameter.

Shape suffixes used in this file:
    N  observations
    F  inputs
    C  points asked about

References:
    [Rasmussen2006] C. E. Rasmussen, C. K. I. Williams. Gaussian Processes for Machine Learning. MIT Press, 2006.
        Kernel: equation 4.17; likelihood and its gradient: 5.8 and 5.9; prediction: algorithm 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

__all__ = ["GaussianProcess", "Kernel", "fit_kernel", "negative_log_likelihood"]

Floats = NDArray[np.float64]

_SCALES = (0.05, 20.0)
_LENGTHS = (0.2, 20.0)
_NOISES = (1e-4, 1.0)
_NUGGET = 1e-8
_PRIOR_NOISE, _PRIOR_LENGTH = (-2.0, 0.7), (0.5, 0.7)
"""Mean and standard deviation of the logarithms, both normal. Chosen on the recording on CIFAR-10."""
_TOLERANCE = 1e-5
"""Relative change of the density that ends the fit: predictions move by less than a thousandth of the spread."""
_ROOT_5 = 5.0**0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """How alike two points are. ``scale`` and ``noise`` are variances; ``lengths_F``: over which inputs matter."""

    scale: float
    lengths_F: Floats
    noise: float

    @classmethod
    def from_logarithms(cls, logarithms: Floats) -> Kernel:
        """Make one of the logarithms of scale, noise and lengths, in this order."""
        scale, noise, *lengths = np.exp(logarithms)
        return cls(scale=float(scale), noise=float(noise), lengths_F=np.array(lengths))

    def between(self, points_CF: Floats, others_NF: Floats) -> Floats:
        """Return the covariance of the functions' values, noise left out."""
        scaled_CF, scaled_NF = points_CF / self.lengths_F, others_NF / self.lengths_F
        squares_CN = (
            (scaled_CF**2).sum(axis=1)[:, None] + (scaled_NF**2).sum(axis=1) - 2 * scaled_CF @ scaled_NF.T
        )
        roots_CN = _ROOT_5 * np.sqrt(np.maximum(squares_CN, 0.0))
        covariance_CN: Floats = self.scale * (1 + roots_CN + roots_CN**2 / 3) * np.exp(-roots_CN)
        return covariance_CN


class GaussianProcess:
    """What observations tell about a function.

    Args:
        kernel: Of the function.
        inputs_NF: At least one observation.
        values_N: What was observed there; of mean 0, as the process expects where nothing is known.
    """

    def __init__(self, kernel: Kernel, inputs_NF: Floats, values_N: Floats) -> None:
        self.kernel = kernel
        self._inputs_NF = inputs_NF
        self._values_N = values_N
        covariance_NN = kernel.between(inputs_NF, inputs_NF)
        covariance_NN[np.diag_indices(len(inputs_NF))] += kernel.noise + _NUGGET
        self._lower_NN = cholesky(covariance_NN, lower=True)
        self._weights_N = _solve(self._lower_NN, values_N)

    def predict(self, points_CF: Floats) -> tuple[Floats, Floats]:
        """Return means and standard deviations of the function's values, without the noise of an observation."""
        covariance_CN = self.kernel.between(points_CF, self._inputs_NF)
        explained_NC = solve_triangular(self._lower_NN, covariance_CN.T, lower=True)
        variances_C = self.kernel.scale - (explained_NC**2).sum(axis=0)
        return covariance_CN @ self._weights_N, np.sqrt(np.maximum(variances_C, 1e-12))

    def with_observations(self, inputs_CF: Floats, values_C: Floats) -> GaussianProcess:
        """Return the process that knows these as well."""
        return GaussianProcess(
            self.kernel, np.vstack([self._inputs_NF, inputs_CF]), np.concatenate([self._values_N, values_C])
        )


def fit_kernel(inputs_NF: Floats, values_N: Floats) -> Kernel:
    """Return the kernel of the largest posterior density within bounds, from one start."""
    num_inputs = inputs_NF.shape[1]
    squares_FNN = (inputs_NF.T[:, :, None] - inputs_NF.T[:, None, :]) ** 2
    found = minimize(
        _negative_log_posterior,
        np.log([1.0, 0.1, *np.ones(num_inputs)]),
        args=(squares_FNN.reshape(num_inputs, -1), values_N),
        jac=True,
        method="L-BFGS-B",
        bounds=np.log([_SCALES, _NOISES, *[_LENGTHS] * num_inputs]),
        options={"ftol": _TOLERANCE},
    )
    return Kernel.from_logarithms(found.x)


def _negative_log_posterior(logarithms: Floats, squares_FP: Floats, values_N: Floats) -> tuple[float, Floats]:
    loss, gradient = negative_log_likelihood(logarithms, squares_FP, values_N)
    means, deviations = np.array([_PRIOR_NOISE, *[_PRIOR_LENGTH] * (len(logarithms) - 2)]).T
    scaled = (logarithms[1:] - means) / deviations
    gradient[1:] += scaled / deviations
    return loss + 0.5 * float(scaled @ scaled), gradient


def negative_log_likelihood(logarithms: Floats, squares_FP: Floats, values_N: Floats) -> tuple[float, Floats]:
    """Return the negative logarithm of the marginal likelihood, without its constant, and its gradient.

    Args:
        logarithms: Of scale, noise and lengths.
        squares_FP: Squared distances of all N x N pairs in each input.
        values_N: What was observed.
    """
    kernel, count = Kernel.from_logarithms(logarithms), len(values_N)
    weights_F = kernel.lengths_F**-2.0
    roots_NN = _ROOT_5 * np.sqrt(weights_F @ squares_FP).reshape(count, count)
    decay_NN = kernel.scale * np.exp(-roots_NN)
    function_NN = decay_NN * (1 + roots_NN + roots_NN**2 / 3)
    covariance_NN = function_NN.copy()
    covariance_NN[np.diag_indices(count)] += kernel.noise + _NUGGET
    lower_NN = cholesky(covariance_NN, lower=True)
    inverse_NN = _solve(lower_NN, np.eye(count))
    solved_N = inverse_NN @ values_N
    loss = 0.5 * float(values_N @ solved_N) + float(np.log(np.diag(lower_NN)).sum())
    slopes_NN = 0.5 * (inverse_NN - np.outer(solved_N, solved_N))
    by_length_P = (slopes_NN * decay_NN * (1 + roots_NN)).ravel() * (5 / 3)
    gradient = [
        float((slopes_NN * function_NN).sum()),
        float(np.trace(slopes_NN)) * kernel.noise,
        *(weights_F * (squares_FP @ by_length_P)),
    ]
    return loss, np.array(gradient)


def _solve(lower_NN: Floats, values: Floats) -> Floats:
    solved: Floats = solve_triangular(
        lower_NN, solve_triangular(lower_NN, values, lower=True), lower=True, trans="T"
    )
    return solved
