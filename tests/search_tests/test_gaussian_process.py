"""Our Gaussian process against scikit-learn's, which is the same but slower."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search.replay.recording import read_recording
from search.sampling import gaussian_process
from search.sampling.accuracy_model import AccuracyModel
from search.sampling.gaussian_process import GaussianProcess, Kernel, fit_kernel, negative_log_likelihood
from search.sampling.inputs import Inputs

Floats = NDArray[np.float64]

RECORDING = Path(__file__).parents[2] / "benchmarks/recordings/cifar10.jsonl"
KERNEL = Kernel(scale=1.7, noise=0.05, lengths_F=np.array([0.4, 3.0, 0.8]))


def observations(count: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    inputs = rng.random((count, 3))
    values = (
        np.sin(4 * inputs[:, 0])
        + np.sin(5 * inputs[:, 1])
        - inputs[:, 2] ** 2
        + rng.normal(scale=0.1, size=count)
    )
    return inputs, (values - values.mean()) / values.std()


def theirs(inputs: Floats, values: Floats, **options: object) -> GaussianProcessRegressor:
    kernel = ConstantKernel(KERNEL.scale, (0.05, 20.0)) * Matern(KERNEL.lengths_F, (0.2, 20.0), nu=2.5)
    process = GaussianProcessRegressor(kernel + WhiteKernel(KERNEL.noise, (1e-4, 1.0)), alpha=1e-8, **options)
    return process.fit(inputs, values)


def logarithms(kernel: Kernel) -> Floats:
    return np.log([kernel.scale, kernel.noise, *kernel.lengths_F])


def squares(inputs: Floats) -> Floats:
    return ((inputs.T[:, :, None] - inputs.T[:, None, :]) ** 2).reshape(inputs.shape[1], -1)


def test_likelihood_and_gradient_are_scikit_learns() -> None:
    inputs, values = observations(30)
    process = theirs(inputs, values, optimizer=None)
    order = [0, 2, 3, 4, 1]  # theirs has the noise last
    expected, slopes = process.log_marginal_likelihood(logarithms(KERNEL)[order], eval_gradient=True)
    loss, gradient = negative_log_likelihood(logarithms(KERNEL), squares(inputs), values)
    assert -loss - 15 * np.log(2 * np.pi) == pytest.approx(expected, rel=1e-9)
    assert -gradient[order] == pytest.approx(slopes, rel=1e-7)


def without_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian_process, "_PRIOR_NOISE", (0.0, 1e6))
    monkeypatch.setattr(gaussian_process, "_PRIOR_LENGTH", (0.0, 1e6))


def test_without_a_prior_the_fitted_kernel_is_as_likely_as_scikit_learns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_prior(monkeypatch)
    inputs, values = observations(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the third length may end at its bound
        process = theirs(inputs, values)
    found, _ = negative_log_likelihood(logarithms(fit_kernel(inputs, values)), squares(inputs), values)
    assert -found - 30 * np.log(2 * np.pi) == pytest.approx(process.log_marginal_likelihood_value_, abs=0.01)


def test_predictions_are_scikit_learns_without_the_noise() -> None:
    inputs, values = observations(40)
    asked = np.random.default_rng(1).random((25, 3)) * 1.5
    means, deviations = GaussianProcess(KERNEL, inputs, values).predict(asked)
    expected, noisy = theirs(inputs, values, optimizer=None).predict(asked, return_std=True)
    assert means == pytest.approx(expected, rel=1e-6)
    assert deviations == pytest.approx(np.sqrt(noisy**2 - KERNEL.noise), rel=1e-5)


def test_more_observations_are_those_of_a_process_that_had_them_at_once() -> None:
    inputs, values = observations(40)
    asked = np.random.default_rng(1).random((5, 3))
    at_once = GaussianProcess(KERNEL, inputs, values).predict(asked)
    later = GaussianProcess(KERNEL, inputs[:30], values[:30]).with_observations(inputs[30:], values[30:])
    assert np.array(later.predict(asked)) == pytest.approx(np.array(at_once), rel=1e-9)


def test_one_observation_and_points_seen_twice_are_enough() -> None:
    kernel = fit_kernel(np.array([[0.5, 0.5, 0.5]]), np.zeros(1))
    GaussianProcess(kernel, np.full((8, 3), 0.5), np.zeros(8)).predict(np.full((2, 3), 0.5))
    assert np.isfinite(logarithms(fit_kernel(np.full((8, 3), 0.5), np.arange(8.0)))).all()


def held_out_error(inputs: Floats, accuracy: Floats, count: int) -> float:
    """Return the root mean squared error on all recorded trials but ``count`` that the model has seen."""
    squares = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(accuracy))
        seen, unseen = order[:count], order[count:]
        means, _ = AccuracyModel(inputs[seen], accuracy[seen]).predict(inputs[unseen])
        squares.append(((means - accuracy[unseen]) ** 2).mean())
    return float(np.sqrt(np.mean(squares)))


@pytest.mark.parametrize("count", [12, 20])
def test_the_prior_lowers_errors_on_recorded_trials_by_a_tenth_and_more(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = read_recording(RECORDING)
    inputs = Inputs(recording.spec.space).encode([run.values for run in recording.runs])
    accuracy = np.array([run.scores[recording.epochs[-1]].accuracy for run in recording.runs])
    error = held_out_error(inputs, accuracy, count)
    without_prior(monkeypatch)
    assert error < 0.9 * held_out_error(inputs, accuracy, count)
