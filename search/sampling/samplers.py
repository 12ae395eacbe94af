"""Samplers by name.

A sampler is built anew for every proposal, from the search's seed and the trial's number: what it proposes then depends
on the history and the number alone, not on how often the driver died in between.

Fields that exist under a condition only (``when`` in the spec): ``tpe`` has a model for each group of fields that exist
together, and so has ``along_front``; to ``known_costs`` a field that does not exist lies in the middle. ``nsga2``,
``nsga3`` and ``gp`` model the fields that every configuration has, and draw the others at random; ``qmc`` spreads the
fields of the first trial.

References:
    [Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
        algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
    [Deb2014] K. Deb, H. Jain. An evolutionary many-objective optimization algorithm using reference-point-based
        nondominated sorting approach, part I. IEEE Transactions on Evolutionary Computation 18(4), 2014.
    [Ozaki2022] Y. Ozaki, Y. Tanigaki, S. Watanabe, M. Nomura, M. Onishi. Multiobjective tree-structured Parzen
        estimator. JAIR 73, 2022.
    [Daulton2020] S. Daulton, M. Balandat, E. Bakshy. Differentiable expected hypervolume improvement for parallel
        multi-objective Bayesian optimization. NeurIPS 2020.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler

from search.sampling.along_front import AlongFrontSampler
from search.sampling.experimental import experimental_allowed
from search.sampling.genetic import NSGA2, NSGA3
from search.sampling.parzen import make_parzen_sampler
from search.sampling.search_task import SearchTask

__all__ = ["SAMPLERS", "SamplerFactory", "SamplerKind", "make_sampler"]

SamplerFactory = Callable[[SearchTask, int, int], BaseSampler]
"""Called with the search, its seed and the seed of this one proposal."""

_POPULATION = 20
"""Networks per NSGA generation: searches here have tens of trials, and Optuna's 50 would leave most of them random."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerKind:
    """``max_history``: finished trials that its model may be made of; None: it needs all, or none.

    ``models_conditions``: whether fields that exist under a condition only are modelled rather than drawn at random.
    """

    make: SamplerFactory
    max_history: int | None = None
    models_conditions: bool = False


def _tpe(_task: SearchTask, _search_seed: int, proposal_seed: int) -> BaseSampler:
    return make_parzen_sampler(proposal_seed)  # [Ozaki2022]


def _nsga2(task: SearchTask, _search_seed: int, proposal_seed: int) -> BaseSampler:
    return NSGA2(task.space, seed=proposal_seed, population_size=_POPULATION)  # [Deb2002]


def _nsga3(task: SearchTask, _search_seed: int, proposal_seed: int) -> BaseSampler:
    return NSGA3(task.space, seed=proposal_seed, population_size=_POPULATION)  # [Deb2014]


def _gp(_task: SearchTask, _search_seed: int, proposal_seed: int) -> BaseSampler:
    return GPSampler(seed=proposal_seed, warn_independent_sampling=False)  # [Daulton2020]


def _random(_task: SearchTask, _search_seed: int, proposal_seed: int) -> BaseSampler:
    return RandomSampler(seed=proposal_seed)


def _qmc(_task: SearchTask, search_seed: int, proposal_seed: int) -> BaseSampler:
    # One scrambling for the whole search, or its points would not fill the space evenly.
    return QMCSampler(
        scramble=True,
        seed=search_seed,
        independent_sampler=RandomSampler(seed=proposal_seed),
        warn_asynchronous_seeding=False,
        warn_independent_sampling=False,
    )


def _along_front(task: SearchTask, search_seed: int, proposal_seed: int) -> BaseSampler:
    return AlongFrontSampler(task, _qmc(task, search_seed, proposal_seed), proposal_seed)


def _known_costs(task: SearchTask, search_seed: int, proposal_seed: int) -> BaseSampler:
    from search.sampling.known_costs import KnownCostsSampler  # scipy.optimize: reading a spec comes here

    return KnownCostsSampler(task, _qmc(task, search_seed, proposal_seed), proposal_seed)


SAMPLERS: dict[str, SamplerKind] = {
    "tpe": SamplerKind(make=_tpe, max_history=400, models_conditions=True),
    "nsga2": SamplerKind(make=_nsga2),
    "nsga3": SamplerKind(make=_nsga3),
    "gp": SamplerKind(make=_gp, max_history=200),
    "qmc": SamplerKind(make=_qmc),
    "random": SamplerKind(make=_random, models_conditions=True),
    "along_front": SamplerKind(make=_along_front, max_history=400, models_conditions=True),
    "known_costs": SamplerKind(make=_known_costs, max_history=200, models_conditions=True),
}


def make_sampler(name: str, task: SearchTask, seed: int, proposal: int) -> BaseSampler:
    """Build the sampler for one proposal.

    Args:
        name: A key of `SAMPLERS`.
        task: The search; for `along_front` and `known_costs`, one in which a budget varies.
        seed: Of the whole search.
        proposal: What tells this proposal from the others of the search, such as the trial's number.
    """
    digest = hashlib.sha256(f"{seed}:{proposal}".encode()).digest()
    with experimental_allowed():
        return SAMPLERS[name].make(task, seed, int.from_bytes(digest[:4], "big"))
