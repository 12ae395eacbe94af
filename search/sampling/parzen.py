"""Optuna's tree-structured Parzen estimator as searches here use it."""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler

__all__ = ["make_parzen_sampler"]


def make_parzen_sampler(seed: int, *, num_startup: int = 10) -> TPESampler:
    """Build a sampler that models fields together, in groups that exist together, and counts running trials as bad.

    Args:
        seed: Of its draws.
        num_startup: Finished trials before it follows its model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group; the version is pinned
        return TPESampler(
            seed=seed, n_startup_trials=num_startup, multivariate=True, group=True, constant_liar=True
        )
