"""From sums of layers to whole networks."""

from __future__ import annotations

import numpy as np
import pytest

from pruning_core.budgets import Resource
from pruning_core.channels import find_channel_groups, latency_by_table
from pruning_core.channels.cost_model import build_cost_model
from pruning_core.latency.calibration import Calibration, fit_calibration
from tests.pruning_core_tests.channel_networks import IMAGE, network_named
from tests.pruning_core_tests.latency_tables import made_up_table

NAME = "grouped_convolution"


def test_a_factor_and_a_constant_are_found_again() -> None:
    sums = np.array([4.0, 2.5, 1.0, 0.4])
    found = fit_calibration(list(sums), list(1.2 * sums + 0.3))
    assert found.scale == pytest.approx(1.2)
    assert found.rest_ms == pytest.approx(0.3)


def test_relative_errors_count_so_that_narrow_networks_weigh_as_much_as_wide_ones() -> None:
    sums, networks = [1.0, 1.0, 100.0, 100.0], [1.0, 2.0, 100.0, 200.0]
    found = fit_calibration(sums, networks)
    assert found.scale * 1 + found.rest_ms == pytest.approx((found.scale * 100 + found.rest_ms) / 100)


def test_a_constant_is_never_negative() -> None:
    sums = [1.0, 2.0, 4.0]
    found = fit_calibration(sums, [0.5, 2.0, 5.0])
    assert found.rest_ms == 0
    ratio = np.array(sums) / [0.5, 2.0, 5.0]
    scales = np.linspace(0.5, 1.5, 2001)
    errors = ((scales[:, None] * ratio - 1) ** 2).sum(axis=1)
    assert found.scale == pytest.approx(scales[errors.argmin()], abs=1e-3)


def test_times_that_fall_with_the_layers_leave_a_factor_alone() -> None:
    assert fit_calibration([1.0, 2.0], [2.0, 1.0]).rest_ms == 0


@pytest.mark.parametrize(
    ("sums", "networks"), [([1.0], [1.0]), ([1.0, 0.0], [1.0, 1.0]), ([1.0, 2.0], [1.0])]
)
def test_times_that_tell_nothing_are_refused(sums: list[float], networks: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more networks with positive times"):
        fit_calibration(sums, networks)


def test_a_calibrated_table_prices_networks_and_their_model_alike() -> None:
    network = network_named(NAME)
    plain = made_up_table(NAME)
    table = plain.with_calibration(Calibration(scale=2.0, rest_ms=0.5))
    before, after = (latency_by_table(network, IMAGE, one) for one in (plain, table))
    assert after == pytest.approx(2 * before + 500_000, rel=1e-4)
    graph = find_channel_groups(network, IMAGE, scope="all")
    model = build_cost_model(network, graph, IMAGE, {Resource.LATENCY}, table)
    assert model.dense.latency_ns == after
    narrowest = model.exact([1] * len(graph.groups)).latency_ns
    assert narrowest is not None
    assert 500_000 < narrowest < after
