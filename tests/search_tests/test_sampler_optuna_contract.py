"""Optuna's own contract of samplers, for each of ours through the sampler that searches use.

Left out is what tests the drawing of single fields: searches draw whole configurations.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase

from search.sampling.samplers import SAMPLERS
from tests.search_tests.test_samplers import PLAIN, wrap


@pytest.fixture(params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    name: str = request.param
    return lambda: wrap(name, PLAIN, 0)


class TestOptunaContract:
    test_conditional = BasicSamplerTestCase.test_conditional_parameter_objective
    test_dynamic_range = BasicSamplerTestCase.test_dynamic_range_objective
    test_nan = BasicSamplerTestCase.test_nan_objective_value
    test_partly_fixed = BasicSamplerTestCase.test_partial_fixed_sampling
    test_single_values = BasicSamplerTestCase.test_sample_single_distribution
    test_categories = RelativeSamplerTestCase.test_sample_relative_categorical
    test_mixed_types = RelativeSamplerTestCase.test_sample_relative_mixed
