import pytest

from reports.fronts import scores_of
from reports.pick_limits import parse_limits
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


def test_limits_read_as_a_sentence() -> None:
    limits = parse_limits(max_macs="40%", max_params="0.3M", min_accuracy=0.92)
    assert str(limits) == "at most 40% of the FLOPs (MACs) and at most 300K params and at least 92% accuracy"
    assert str(parse_limits()) == "no limits"
