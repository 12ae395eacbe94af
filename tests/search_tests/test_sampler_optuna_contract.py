"""Optuna's own contract of samplers, all of it, for each of ours through the sampler that searches use.

Fields of a search are drawn together. The contract's own fields are none of the search, so they are drawn one by one,
and both ways are tested. Optuna's cases have no constraints; those are the second half of this file.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from search.sampling.samplers import SAMPLERS
from tests.search_tests.test_samplers import NAMES, PLAIN, propose, wrap


class TestOptunaContract(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    """What Optuna asks of every sampler."""

    @pytest.fixture(params=NAMES)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        """Return what builds one of ours."""
        name: str = request.param
        return lambda: wrap(name, PLAIN, 0)


_LIMIT = 0.4
LEARNERS = [
    pytest.param(name, marks=[pytest.mark.integration] if name == "gp" else [])
    for name in SAMPLERS
    if name not in {"random", "qmc"}  # which learn nothing
]


@pytest.mark.parametrize("name", LEARNERS)
def test_constraints_are_learned_to_be_met(name: str) -> None:
    """A fifth of the space meets the constraint, and what misses it by more is more accurate."""
    num_trials = 26 if name == "gp" else 80
    missed = mean_violation(name, num_trials)
    assert missed < 0.5 * mean_violation("random", num_trials)


def mean_violation(name: str, num_trials: int) -> float:
    """Return by how much the later half of a search's configurations misses the constraint on average."""
    tried = propose(name, num_trials=num_trials, limit=_LIMIT, fail_every=1000)
    later = [float(str(values["budgets.macs"])) for values in tried[num_trials // 2 :]]
    return statistics.mean(max(0.0, cost - _LIMIT) for cost in later)
