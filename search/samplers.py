"""Optuna samplers by name.

A sampler is built anew for every proposal, from the search's seed and the trial's number: what it proposes then depends
on the history and the number alone, not on how often the driver died in between.

References:
    [Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
        algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
    [Ozaki2022] Y. Ozaki, Y. Tanigaki, S. Watanabe, M. Nomura, M. Onishi. Multiobjective tree-structured Parzen
        estimator. JAIR 73, 2022.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

__all__ = ["SAMPLERS", "SamplerFactory", "make_sampler"]

SamplerFactory = Callable[[int, int], BaseSampler]
"""Called with the search's seed and the seed of this one proposal."""

_POPULATION = 20
"""Networks per NSGA generation: searches here have tens of trials, and Optuna's 50 would leave most of them random."""


def _tpe(_: int, proposal_seed: int) -> BaseSampler:
    return TPESampler(seed=proposal_seed, multivariate=True, constant_liar=True)  # [Ozaki2022]


def _nsga2(_: int, proposal_seed: int) -> BaseSampler:
    return NSGAIISampler(seed=proposal_seed, population_size=_POPULATION)  # [Deb2002]


def _nsga3(_: int, proposal_seed: int) -> BaseSampler:
    return NSGAIIISampler(seed=proposal_seed, population_size=_POPULATION)


def _random(_: int, proposal_seed: int) -> BaseSampler:
    return RandomSampler(seed=proposal_seed)


def _qmc(search_seed: int, proposal_seed: int) -> BaseSampler:
    # One scrambling for the whole search, or its points would not fill the space evenly. Choices are drawn at random.
    return QMCSampler(
        scramble=True,
        seed=search_seed,
        independent_sampler=RandomSampler(seed=proposal_seed),
        warn_asynchronous_seeding=False,
        warn_independent_sampling=False,
    )


SAMPLERS: dict[str, SamplerFactory] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "random": _random,
    "qmc": _qmc,
}


def make_sampler(name: str, seed: int, proposal: int) -> BaseSampler:
    """Build the sampler for one proposal.

    Args:
        name: A key of `SAMPLERS`.
        seed: Of the whole search.
        proposal: What tells this proposal from the others of the search, such as the trial's number.
    """
    digest = hashlib.sha256(f"{seed}:{proposal}".encode()).digest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # interfaces may move; the version is pinned
        return SAMPLERS[name](seed, int.from_bytes(digest[:4], "big"))
