import pytest

from reports.fronts import scores_of
from reports.objectives import OBJECTIVES
from tests.reports_tests.synthetic import make_record

SCORES = scores_of(make_record(0)).model_copy(
    update={
        "latency_ms": 0.8,
        "dense_latency_ms": 1.6,
        "activation_memory": 30_000,
        "dense_activation_memory": 120_000,
        "block_macs": 5_000,
        "dense_block_macs": 10_000,
    }
)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_normalised_values_stay_in_range_and_keep_their_order(name: str) -> None:
    objective = OBJECTIVES[name]
    value = objective.value(SCORES)
    assert value is not None
    shares = [objective.normalised(factor * value, SCORES) for factor in (0.0, 0.25, 0.5, 1.0, 100.0)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[1] < shares[2] < shares[3] <= shares[4] <= 1


def test_costs_are_normalised_by_the_dense_network() -> None:
    assert OBJECTIVES["macs"].normalised(SCORES.dense_macs, SCORES) == 1
    assert OBJECTIVES["params"].normalised(SCORES.dense_params / 4, SCORES) == 0.25
    assert OBJECTIVES["latency_ms"].normalised(0.8, SCORES) == 0.5
    assert OBJECTIVES["activation_memory"].normalised(30_000, SCORES) == 0.25
    assert OBJECTIVES["block_macs"].normalised(5_000, SCORES) == 0.5


def test_latency_without_a_dense_measurement_is_squashed() -> None:
    alone = SCORES.model_copy(update={"dense_latency_ms": None})
    assert OBJECTIVES["latency_ms"].normalised(3.0, alone) == 0.75
