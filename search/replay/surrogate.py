"""What a configuration that was not recorded would have scored: a prediction, and the residual of a recorded one.

A mean alone would be smoother than networks are, and would make every rung tell the end exactly. So the
prediction gets the held-out residuals of one recorded configuration, of all rungs and figures together, drawn by the
configuration's own values: whoever asks twice gets the same answer.

What a network costs is predicted as a part of its budget, where one varies: budgets are met, and used up but for a
rounding step or for another budget that is tighter. Accuracies come from a random forest or from Gaussian processes,
whichever is nearer to held-out runs; all else from a forest (`regressors`).

Shape suffixes used in this file:
    R  recorded runs, or configurations asked about
    F  features, numbers that stand for the fields that vary
    Y  figures: per measured epoch the quantities of ``FIGURES``
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.model_selection import KFold

from pruning_core.budgets import parse_budget
from pruning_core.errors import InvalidDataError
from reports.records import NetworkScores
from search.replay.recording import RecordedRun, Recording
from search.replay.regressors import Forest, Processes, Regressor
from spaces import Value

__all__ = ["FIGURES", "FitQuality", "Surrogate"]

FIGURES = ("accuracy", "accuracy_after_removal", "macs_share", "params_share", "log_seconds")
_COSTS = ("macs_share", "params_share")
_PREDICTED = ("accuracy", "macs", "params")
_NUM_FOLDS = 5
_SAME = 1e-9  # figures that differ by less are one


@dataclass(frozen=True, kw_only=True, slots=True)
class FitQuality:
    """How well runs that the models had not seen were predicted: R squared, and Spearman's rank correlation."""

    epochs: int
    figure: str
    r_squared: float
    rank_correlation: float


class Surrogate:
    """Answers for any configuration of the recorded space.

    Args:
        recording: What it learns from.
        seed: Of the models, the folds and the residuals.

    Attributes:
        quality: How well held-out runs were predicted.
        accuracy_model: Which kind of model predicts accuracies.

    Raises:
        InvalidDataError: Too few runs, or a search in quantities that it does not predict.
    """

    def __init__(self, recording: Recording, *, seed: int) -> None:
        _check(recording)
        self._recording = recording
        self._seed = seed
        self._epochs = recording.epochs
        self._is_limited_Y = np.array([figure in _COSTS for _ in self._epochs for figure in FIGURES])
        features_RF = np.array([self._features(run.values) for run in recording.runs])
        limits_RY = np.array([self._limits(run.values) for run in recording.runs])
        figures_RY = np.array([_figures(run) for run in recording.runs]) / limits_RY
        spreads_Y = figures_RY.std(axis=0)
        # trees split where the sum of all variances falls most: without a common unit, seconds would decide
        self._spreads_Y = np.where(spreads_Y > _SAME, spreads_Y, 1.0)
        scaled_RY = figures_RY / self._spreads_Y
        is_accuracy_Y = np.array([figure == "accuracy" for _ in self._epochs for figure in FIGURES])
        self._parts: list[tuple[NDArray[np.int64], Regressor]] = []
        held_out_RY = np.zeros_like(figures_RY)
        for columns, kinds in (
            (np.flatnonzero(is_accuracy_Y), (Forest, Processes)),
            (np.flatnonzero(~is_accuracy_Y), (Forest,)),
        ):
            fitted = [self._fit(kind(seed), features_RF, scaled_RY[:, columns]) for kind in kinds]
            regressor, held_out = min(fitted, key=lambda pair: _error(scaled_RY[:, columns], pair[1]))
            self._parts.append((columns, regressor))
            held_out_RY[:, columns] = held_out
        self.accuracy_model = type(self._parts[0][1]).__name__
        held_out_RY *= self._spreads_Y
        self._residuals_RY = figures_RY - held_out_RY
        self.quality = self._measure(figures_RY * limits_RY, held_out_RY * limits_RY)

    def run(self, values: Mapping[str, Value]) -> RecordedRun:
        """Return what a configuration would have scored at every recorded epoch."""
        mean_Y = self._predict(np.array([self._features(values)]))
        digest = hashlib.sha256(f"{self._seed} {json.dumps(dict(values), sort_keys=True)}".encode()).digest()
        figures_Y = mean_Y + self._residuals_RY[int.from_bytes(digest[:8], "big") % len(self._residuals_RY)]
        limits_Y = self._limits(values)
        figures_Y = np.where(self._is_limited_Y, np.minimum(figures_Y, 1.0), figures_Y) * limits_Y
        by_epochs = figures_Y.reshape(len(self._epochs), len(FIGURES))
        costs = by_epochs[-1]  # the network's costs do not change on the way
        seconds = np.maximum.accumulate(np.exp(by_epochs[:, FIGURES.index("log_seconds")]))
        return RecordedRun(
            values=values,
            scores={
                epochs: self._scores(figures, costs)
                for epochs, figures in zip(self._epochs, by_epochs, strict=True)
            },
            seconds={epochs: float(one) for epochs, one in zip(self._epochs, seconds, strict=True)},
        )

    def _limits(self, values: Mapping[str, Value]) -> NDArray[np.float64]:
        """Return what each figure is a part of: the budget of a cost, as a share of the dense network's, or 1."""
        dense = next(iter(self._recording.runs[0].scores.values()))
        limits = {
            "macs_share": _limit(values.get("budgets.macs"), dense.dense_macs),
            "params_share": _limit(values.get("budgets.params"), dense.dense_params),
        }
        return np.array([limits.get(figure, 1.0) for _ in self._epochs for figure in FIGURES])

    def _predict(self, features_1F: NDArray[np.float64]) -> NDArray[np.float64]:
        mean_Y = np.zeros(len(self._spreads_Y))
        for columns, regressor in self._parts:
            mean_Y[columns] = regressor.predict(features_1F)[0]
        return mean_Y * self._spreads_Y

    def _fit(
        self, regressor: Regressor, features_RF: NDArray[np.float64], figures_RY: NDArray[np.float64]
    ) -> tuple[Regressor, NDArray[np.float64]]:
        """Return a regressor that has learned all runs, and what it says of each run when it is left out."""
        regressor.fit(features_RF, figures_RY)
        held_out_RY = np.zeros_like(figures_RY)
        folds = KFold(_NUM_FOLDS, shuffle=True, random_state=self._seed)
        for seen, unseen in folds.split(features_RF):
            held_out_RY[unseen] = regressor.fit(features_RF[seen], figures_RY[seen]).predict(
                features_RF[unseen]
            )
        return regressor.fit(features_RF, figures_RY), held_out_RY

    def _scores(self, figures: NDArray[np.float64], costs: NDArray[np.float64]) -> NetworkScores:
        dense = next(iter(self._recording.runs[0].scores.values()))

        def whole(figure: str, row: NDArray[np.float64], of: int, least: int) -> int:
            part = float(row[FIGURES.index(figure)]) * of
            return min(of, max(least, math.floor(part + 1e-6) if figure in _COSTS else round(part)))

        return NetworkScores(
            num_images=dense.num_images,
            num_correct_dense=dense.num_correct_dense,
            num_correct_after_removal=whole("accuracy_after_removal", costs, dense.num_images, 0),
            num_correct_fine_tuned=whole("accuracy", figures, dense.num_images, 0),
            macs=whole("macs_share", costs, dense.dense_macs, 1),
            params=whole("params_share", costs, dense.dense_params, 1),
            dense_macs=dense.dense_macs,
            dense_params=dense.dense_params,
        )

    def _features(self, values: Mapping[str, Value]) -> list[float]:
        """Write values as numbers: ranges as they are, or by their logarithm; choices as one number each."""
        features: list[float] = []
        for name, distribution in self._recording.spec.space.distributions.items():
            value = values[name]
            if isinstance(distribution, CategoricalDistribution):
                features += [float(value == choice) for choice in distribution.choices]
            else:
                assert isinstance(distribution, (FloatDistribution, IntDistribution))
                assert isinstance(value, (int, float))
                features.append(math.log(value) if distribution.log else float(value))
        return features

    def _measure(
        self, figures_RY: NDArray[np.float64], held_out_RY: NDArray[np.float64]
    ) -> tuple[FitQuality, ...]:
        names = [(epochs, figure) for epochs in self._epochs for figure in FIGURES]
        return tuple(
            FitQuality(
                epochs=epochs,
                figure=figure,
                r_squared=_r_squared(true, predicted),
                rank_correlation=_rank_correlation(true, predicted),
            )
            for (epochs, figure), true, predicted in zip(names, figures_RY.T, held_out_RY.T, strict=True)
        )


def _check(recording: Recording) -> None:
    if len(recording.runs) < _NUM_FOLDS:
        raise InvalidDataError(
            f"a surrogate needs at least {_NUM_FOLDS} recorded configurations, but got {len(recording.runs)}"
        )
    wanted = dict.fromkeys([*recording.spec.objectives, *recording.spec.constraints])
    unknown = [name for name in wanted if name not in _PREDICTED]
    if unknown:
        raise InvalidDataError(
            f"a surrogate predicts {', '.join(_PREDICTED)}, but the recorded search asks for {', '.join(unknown)}"
        )


def _error(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    return float(((true - predicted) ** 2).sum())


def _limit(budget: Value, dense: int) -> float:
    """Return a budget as a share of the dense network's cost; 1 without one."""
    return 1.0 if budget is None else parse_budget(budget).limit(dense) / dense


def _figures(run: RecordedRun) -> list[float]:
    return [
        figure
        for epochs, scores in run.scores.items()
        for figure in (
            scores.accuracy,
            scores.accuracy_after_removal,
            scores.macs_share,
            scores.params_share,
            math.log(max(run.seconds[epochs], 1e-6)),
        )
    ]


def _r_squared(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    if _is_constant(true):
        return float(np.abs(true - predicted).max() < _SAME)
    return float(1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def _rank_correlation(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    if _is_constant(true) or _is_constant(predicted):
        return float(_is_constant(true) and _is_constant(predicted))
    both = pd.DataFrame({"true": true, "predicted": predicted}).rank()
    return float(both["true"].corr(both["predicted"]))


def _is_constant(values: NDArray[np.float64]) -> bool:
    return float(np.ptp(values)) < _SAME
