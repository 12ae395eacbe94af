from statistics import fmean, stdev

import pytest
from pydantic import ValidationError

from reports.confirmations import Confirmation, Repeat
from reports.fronts import scores_of
from tests.reports_tests.synthetic import record_with


def confirmation(picked: float, *repeats: float | None) -> Confirmation:
    return Confirmation(
        picked=scores_of(record_with(0, picked, 400_000, 40_000)),
        repeats=tuple(
            Repeat(seed=seed, failure="the loss is nan")
            if accuracy is None
            else Repeat(seed=seed, scores=scores_of(record_with(seed, accuracy, 400_000, 40_000)))
            for seed, accuracy in enumerate(repeats, start=1)
        ),
    )


def test_mean_and_deviation_are_of_the_repeats_without_the_pick() -> None:
    found = confirmation(0.95, 0.90, 0.92, 0.94)
    assert found.accuracies == (0.90, 0.92, 0.94)
    assert found.mean == fmean([0.90, 0.92, 0.94])
    assert found.deviation == stdev([0.90, 0.92, 0.94])


@pytest.mark.parametrize(
    ("picked", "repeats", "verdict"),
    [
        (
            0.95,
            (0.90, 0.92, 0.94),
            "The pick was lucky: 3.00 points above the mean of its repeats and above each of them (by chance 1 in 4); "
            "expect 92.0%.",
        ),
        (
            0.92,
            (0.90, 0.92, 0.94),
            "The pick was not lucky: its repeats are as good on average; expect 92.0%.",
        ),
        (
            0.89,
            (0.90, 0.92),
            "The pick was unlucky: 2.00 points below the mean of its repeats; expect 91.0%.",
        ),
        (
            0.93,
            (0.90, 0.92, 0.94),
            "The pick is 1.00 points above the mean of its 3 repeats and within their range; expect 92.0%.",
        ),
        (
            0.91,
            (0.90, 0.94),
            "The pick is 1.00 points below the mean of its 2 repeats and within their range; expect 92.0%.",
        ),
        (
            0.95,
            (0.9,),
            "The pick was lucky: 5.00 points above the mean of its repeats and above each of them (by chance 1 in 2); "
            "expect 90.0%.",
        ),
        (0.95, (None, None), "No repeat gave a network, so the pick stands on one seed."),
    ],
)
def test_the_verdict_says_what_to_expect(
    picked: float, repeats: tuple[float | None, ...], verdict: str
) -> None:
    assert confirmation(picked, *repeats).verdict == verdict


def test_a_repeat_that_failed_is_left_out_of_the_mean() -> None:
    found = confirmation(0.95, 0.90, None)
    assert (found.mean, found.deviation, found.is_lucky) == (0.90, None, True)


def test_of_no_repeats_nothing_is_confirmed() -> None:
    with pytest.raises(ValidationError):
        confirmation(0.95)


def test_it_reads_back_from_plain_data() -> None:
    found = confirmation(0.95, 0.90, None)
    assert Confirmation.model_validate(found.model_dump(mode="json")) == found
