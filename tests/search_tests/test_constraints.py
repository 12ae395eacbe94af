import pytest

from reports.objectives import OBJECTIVES
from reports.scores import NetworkScores
from search.constraints import QUANTITIES, parse_constraint

SCORES = NetworkScores(
    num_images=200,
    num_correct_dense=190,
    num_correct_after_removal=100,
    num_correct_fine_tuned=180,
    macs=40,
    params=600,
    dense_macs=100,
    dense_params=1000,
    activation_memory=3000,
    dense_activation_memory=4000,
    latency_ms=0.6,
    dense_latency_ms=1.2,
)


@pytest.mark.parametrize(
    ("quantity", "text", "violation"),
    [
        ("accuracy", ">= 90%", 0.0),
        ("accuracy", ">=0.95", 0.05),
        ("accuracy", ">= 80 %", -0.1),
        ("macs", "<= 40%", 0.0),
        ("macs", "<= 0.3", 0.1),
        ("macs", "<= 50", -0.1),
        ("params", "<= 0.5K", 0.1),
        ("params", "<= 1", -0.4),
        ("activation_memory", "<= 2K", 0.25),
        ("latency_ms", "<= 50%", 0.0),
        ("latency_ms", "<= 0.3ms", 0.25),
    ],
)
def test_a_violation_is_the_distance_to_the_limit(quantity: str, text: str, violation: float) -> None:
    assert parse_constraint(quantity, text).violation(SCORES) == pytest.approx(violation, abs=1e-12)


def test_whatever_can_be_an_objective_can_be_read_from_the_scores() -> None:
    assert set(QUANTITIES) <= OBJECTIVES.keys()
