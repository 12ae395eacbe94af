"""Optuna's tree-structured Parzen estimator as searches here use it."""

from __future__ import annotations

from optuna.samplers import TPESampler

from search.sampling.experimental import experimental_allowed

__all__ = ["make_parzen_sampler"]


def make_parzen_sampler(seed: int, *, num_startup: int = 10) -> TPESampler:
    """Build a sampler that models fields together, in groups that exist together, and counts running trials as bad.

    Args:
        seed: Of its draws.
        num_startup: Finished trials before it follows its model.
    """
    with experimental_allowed():  # group
        return TPESampler(
            seed=seed, n_startup_trials=num_startup, multivariate=True, group=True, constant_liar=True
        )
