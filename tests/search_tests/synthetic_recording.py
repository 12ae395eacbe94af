"""A recording without training: accuracies that rise with epochs and cross, costs that follow from the budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from reports.records import NetworkScores
from search.replay.recording import RecordedRun, Recording
from search.spec import SearchSpec
from spaces import Value
from tests.search_tests.synthetic_search import make_spec

NUM_IMAGES, DENSE_MACS, DENSE_PARAMS = 1000, 1_000_000, 100_000
SPACE: dict[str, Any] = {
    "budgets.macs": {"low": 0.2, "high": 0.9},
    "fine_tuning.learning_rate": {"low": 0.001, "high": 1.0, "log": True},
    "saliency.num_basis": {"choices": [1, 2, 4]},
}
EPOCHS = 9


def recorded_spec(**changes: Any) -> SearchSpec:
    """Return a spec over the recorded space, whose trials train for nine epochs."""
    plain = {
        "search": SPACE,
        "run": {
            "budgets": {"macs": 0.5},
            "fine_tuning": {"epochs": EPOCHS},
            "gates": {"steps": 1},
            "saliency": {"selector": {"epochs": 1}},
        },
        "halving": {"rule": "all"},
    }
    return make_spec(**{**plain, **changes})


def true_run(values: Mapping[str, Value]) -> RecordedRun:
    """Return what a configuration scores: the best learning rate is 0.05, a higher one is slow but not worse."""
    macs, rate = float(values["budgets.macs"] or 0), float(values["fine_tuning.learning_rate"] or 0)
    reach = 0.93 - 0.35 * (1 - macs) ** 2 - (0.3 if rate < 0.01 else 0.0)
    reach -= 0.02 * (values["saliency.num_basis"] == 4)
    slowness = 0.3 + 2 * rate
    scores, seconds = {}, {}
    for epochs in (1, 3, EPOCHS):
        scores[epochs] = NetworkScores(
            num_images=NUM_IMAGES,
            num_correct_dense=930,
            num_correct_after_removal=100,
            num_correct_fine_tuned=round(NUM_IMAGES * reach * (1 - 0.5 ** (epochs / slowness))),
            macs=int(macs * DENSE_MACS),
            params=int(macs**1.5 * DENSE_PARAMS),
            dense_macs=DENSE_MACS,
            dense_params=DENSE_PARAMS,
        )
        seconds[epochs] = 2.0 + 10 * epochs * (0.3 + macs)
    return RecordedRun(values=values, scores=scores, seconds=seconds)


def make_recording(num_runs: int = 120, *, seed: int = 0, **changes: Any) -> Recording:
    """Record random configurations."""
    spec = recorded_spec(**changes)
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    runs = tuple(true_run(spec.space.suggest(study.ask())) for _ in range(num_runs))
    return Recording(
        spec=spec, runs=runs, command="make_recording", version="test", facts={"machine": "none"}
    )
