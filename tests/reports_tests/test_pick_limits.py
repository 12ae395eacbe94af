import pytest

from reports.fronts import scores_of
from reports.pick_limits import describe_excess, parse_limits
from reports.scores import NetworkScores
from tests.reports_tests.synthetic import record_with

SCORES = scores_of(record_with(0, 0.8, 400_000, 30_000))  # dense: 1,000,000 MACs, 100,000 params


@pytest.mark.parametrize("text", ["40%", "0.4", 0.4, "400K", "0.4M", "400000", 400_000, "4e5", " 40 % "])
def test_a_cost_at_its_limit_fits(text: str | float) -> None:
    assert parse_limits(max_macs=text).excess(SCORES) == {}


@pytest.mark.parametrize("text", ["39.9%", "0.399", "399K", "399999"])
def test_a_cost_over_its_limit_is_in_excess(text: str) -> None:
    assert set(parse_limits(max_macs=text).excess(SCORES)) == {"max_macs"}


def test_excess_is_counted_in_shares_of_dense_and_in_accuracy() -> None:
    excess = parse_limits(max_macs="10%", max_params="20K", min_accuracy="85%").excess(SCORES)
    assert excess == pytest.approx({"max_macs": 0.3, "max_params": 0.1, "min_accuracy": 0.05})


@pytest.mark.parametrize("text", ["80%", "0.8", 0.8])
def test_an_accuracy_at_its_limit_fits(text: str | float) -> None:
    assert parse_limits(min_accuracy=text).excess(SCORES) == {}


@pytest.mark.parametrize("text", ["", "many", "-3M", "0", "20 MB", "nan", "inf"])
def test_costs_that_are_none_are_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a share such as 40% or an amount such as 20M, but got"):
        parse_limits(max_macs=text)


@pytest.mark.parametrize("text", ["92", "120%", "1.5", "9M", "good"])
def test_accuracies_outside_their_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"must be written as 92% or 0.92, but got '{text}'"):
        parse_limits(min_accuracy=text)


@pytest.mark.parametrize("text", ["15", "15%", 15, "15.0"])
def test_a_drop_at_its_limit_fits_and_below_it_is_in_excess(text: str | float) -> None:
    assert parse_limits(max_drop=text).excess(SCORES) == {}  # 80 % against 95 %
    assert parse_limits(max_drop="14.5").excess(SCORES) == pytest.approx({"max_drop": 0.005})


@pytest.mark.parametrize("text", ["-1", "101", "0.5M", "points", "", "nan", "inf"])
def test_drops_that_are_none_are_refused_with_examples(text: str) -> None:
    expected = r"must be in points against the dense network, such as 0.5 or 0.5% \(0 to 100\), but got "
    with pytest.raises(ValueError, match=f"the largest drop of accuracy {expected}{text!r}"):
        parse_limits(max_drop=text)


def test_one_limit_can_be_left_out_and_written_by_itself() -> None:
    limits = parse_limits(max_macs="50%", max_drop="0.5", min_accuracy="92%")
    assert limits.names() == ("max_macs", "min_accuracy", "max_drop")
    assert limits.without("max_macs").names() == ("min_accuracy", "max_drop")
    assert limits.text_of("max_drop") == "at most 0.5 points less accuracy than the dense network"
    assert str(limits) == " and ".join(map(limits.text_of, limits.names()))
    assert limits.without("max_macs").are_on_accuracy
    assert not limits.are_on_accuracy
    assert not parse_limits().are_on_accuracy


MEASURED = NetworkScores(
    **SCORES.model_dump()
    | {
        "activation_memory": 30_000,
        "dense_activation_memory": 100_000,
        "latency_ms": 0.5,
        "dense_latency_ms": 2.0,
    }
)


@pytest.mark.parametrize("text", ["30%", 0.3, "30KB", "30k", "30000", "0.03M", "30000B"])
def test_memory_is_limited_in_shares_or_bytes(text: str | float) -> None:
    assert parse_limits(max_activation_memory=text).excess(MEASURED) == {}
    assert parse_limits(max_activation_memory="29999").excess(MEASURED) == pytest.approx(
        {"max_activation_memory": 1e-5}
    )


@pytest.mark.parametrize("text", ["25%", 0.25, "0.5ms", "500us", " 0.5 ms "])
def test_latency_is_limited_in_shares_or_time(text: str | float) -> None:
    assert parse_limits(max_latency_ms=text).excess(MEASURED) == {}
    assert parse_limits(max_latency_ms="400us").excess(MEASURED) == pytest.approx({"max_latency_ms": 0.05})


@pytest.mark.parametrize("text", ["fast", "0ms", "3s", "20M", "-1ms"])
def test_latencies_that_are_none_are_refused_with_examples(text: str) -> None:
    problem = f"the largest latency must be a share such as 40% or a time such as 0.8ms, but got '{text}'"
    with pytest.raises(ValueError, match=problem):
        parse_limits(max_latency_ms=text)


def test_a_cost_that_was_not_measured_is_unknown_and_cannot_be_in_excess() -> None:
    limits = parse_limits(max_macs="50%", max_latency_ms="1ms", max_activation_memory="1MB")
    assert limits.unknown_costs(MEASURED) == ()
    assert limits.unknown_costs(SCORES) == ("activation_memory", "latency_ms")
    with pytest.raises(ValueError, match="must have a dense_activation_memory, but it has none"):
        limits.excess(SCORES)


def test_excess_is_said_in_the_unit_of_the_cost() -> None:
    assert describe_excess("max_latency_ms", 0.05, MEASURED) == "0.1 ms latency too much"
    assert describe_excess("max_activation_memory", 0.1, MEASURED) == "10.0KB activation memory too much"
    assert describe_excess("max_macs", 0.1, MEASURED) == "100K FLOPs (MACs) too many"


def test_limits_on_time_and_memory_read_as_a_sentence() -> None:
    limits = parse_limits(max_latency_ms="750us", max_activation_memory="40%")
    assert str(limits) == "at most 40% of the activation memory and at most 0.75 ms latency"


def test_limits_read_as_a_sentence() -> None:
    limits = parse_limits(max_macs="40%", max_params="0.3M", min_accuracy=0.92)
    assert str(limits) == "at most 40% of the FLOPs (MACs) and at most 300K params and at least 92% accuracy"
    assert str(parse_limits()) == "no limits"
