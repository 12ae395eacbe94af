"""Which smaller networks are the slower ones."""

from __future__ import annotations

import pytest

from reports.latency_findings import slower_networks
from reports.latency_records import latest_of
from tests.reports_tests.latency_cases import measurement, network

DENSE = network(None, 1000, torch=2.0, onnxruntime=1.0)


def test_smaller_and_faster_is_nothing_to_tell() -> None:
    found = measurement(
        DENSE, network(0, 600, torch=1.5, onnxruntime=0.7), network(1, 300, torch=1.0, onnxruntime=0.6)
    )
    assert slower_networks(found) == ()


def test_a_network_slower_than_the_dense_one_is_told_with_by_how_much() -> None:
    found = measurement(DENSE, network(0, 600, torch=2.5, onnxruntime=0.7))
    assert [one.text for one in slower_networks(found)] == [
        "trial 0 is slower in torch than the dense network: by 25%"
    ]


def test_a_network_slower_than_a_larger_one_is_compared_with_the_fastest_of_those() -> None:
    found = measurement(
        DENSE,
        network(0, 700, torch=1.4),
        network(1, 600, torch=1.0),
        network(2, 300, torch=1.2),
        network(3, 100, torch=0.9),
    )
    assert [one.text for one in slower_networks(found)] == [
        "trial 2 is slower in torch than trial 1, which has more FLOPs: by 20%"
    ]


@pytest.mark.parametrize(("median_ms", "is_told"), [(2.09, False), (2.11, True)])
def test_a_difference_of_a_twentieth_is_taken_for_noise(median_ms: float, *, is_told: bool) -> None:
    assert bool(slower_networks(measurement(DENSE, network(0, 600, torch=median_ms)))) is is_told


def test_networks_of_equal_cost_are_not_held_against_each_other() -> None:
    assert slower_networks(measurement(network(0, 600, torch=1.0), network(1, 600, torch=2.0))) == ()


def test_the_last_measurement_of_a_trial_is_the_one_that_counts() -> None:
    first, second = measurement(network(0, 600, torch=1.0)), measurement(network(1, 600, torch=1.0))
    again = measurement(network(0, 600, torch=2.0), measured_at=1_790_000_900.0)
    assert latest_of((first, second, again), 0) == again
    assert latest_of((first, second, again), 1) == second
    assert latest_of((first,), 7) is None
