"""How much each field that varied decides whether a trial is among the best in an objective: PED-ANOVA.

References:
    [Watanabe2023] S. Watanabe, A. Bansal, F. Hutter. PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
        Arbitrary Subspaces. IJCAI 2023. Optuna's implementation, which also takes fields under a condition.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning

from reports.fronts import find_front, objective_values
from reports.objectives import Direction
from reports.plots.theme import thin_out
from reports.records import StudyRecords
from search.spec import SearchSpec
from search.studies.earlier_trials import EarlierTrial, to_optuna
from search.studies.view import StudyView


@contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Let imports of it fail, as if it were not installed: Optuna's fANOVA wants it, and it takes over a second."""
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's own way to forbid an import
    try:
        yield
    finally:
        del sys.modules["sklearn"]


with _without_scikit_learn():
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

__all__ = ["LEAST_TRIALS", "hyperparameter_importances"]

LEAST_TRIALS = 10
"""With fewer networks there is no telling what mattered: the best would be one or two."""

_MOST_TRIALS = 2000  # evenly spread over the search: more do not change the estimate, and take seconds
_BEST = 0.1  # share of the trials that count as good ...
_LEAST_BEST = 5  # ... but so many at least, as Optuna advises
_EXPECTED = (  # warnings
    "PedAnovaImportanceEvaluator computes the importances",  # of low targets: the sign is turned for that
    "Some regimes for parameter",
    "Target and region quantiles select the same",
)


def hyperparameter_importances(spec: SearchSpec, study: StudyRecords) -> dict[str, dict[str, float]]:
    """Return by objective the importance of each varied field; those of an objective sum to 1.

    An objective in which no field sets the good trials apart is left out, and all are with fewer than
    ``LEAST_TRIALS`` networks.
    """
    ranked = thin_out(find_front(study).ranked, _MOST_TRIALS)
    if len(ranked) < LEAST_TRIALS:
        return {}
    trials = to_optuna(
        [
            EarlierTrial(
                values={name: value for name, value in record.varied.items() if name in spec.search},
                scores=objective_values(record, study.objectives),
                constraints={},
            )
            for record in ranked
        ],
        spec.space,
    )
    whole = optuna.create_study(directions=[direction.value for direction in study.objectives.values()])
    view = StudyView(whole, lambda: trials)
    found = {
        name: _importances(view, index, direction, len(trials))
        for index, (name, direction) in enumerate(study.objectives.items())
    }
    return {name: row for name, row in found.items() if row}


def _importances(study: StudyView, index: int, direction: Direction, num_trials: int) -> dict[str, float]:
    """Return the importances for one objective; empty where nothing tells good trials from the others."""
    sign = -1.0 if direction is Direction.MAXIMIZE else 1.0
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(_BEST, min(0.5, _LEAST_BEST / num_trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        raw = get_param_importances(
            study, evaluator=evaluator, target=lambda trial: sign * trial.values[index], normalize=False
        )
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()} if total > 0 else {}
