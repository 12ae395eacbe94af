import pytest
from pydantic import ValidationError

from spaces import Range


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (5, "a range must be {low: 0.3, high: 0.8}.*but got 5"),
        ({"low": 1}, "a range must be .*but got {'low': 1}"),
        ({}, "a range must be .*but got {}"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "only one of log and step"),
        ({"choices": [1, 2], "low": 0}, "choices stand alone"),
        ({"choices": [1, 2], "log": True}, "choices stand alone"),
        ({"choices": []}, "at least one value, but got"),
        ({"choices": [[1, 2]]}, "single values .*but got"),
        ({"low": 1, "high": 2, "step": 0}, "greater than 0"),
        ({"low": float("nan"), "high": 2}, "finite"),
    ],
)
def test_a_range_of_another_form_is_refused(written: object, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Range.model_validate(written)


def test_the_ends_of_a_range_are_low_and_high_or_all_choices() -> None:
    assert Range(low=0.3, high=0.8).ends == (0.3, 0.8)
    assert Range(choices=(1, None, "a", True)).ends == (1, None, "a", True)


def test_a_range_is_written_as_it_was_read() -> None:
    for written in ({"low": 1, "high": 5, "log": True}, {"low": "20K", "high": "1M"}, {"choices": [1, 2]}):
        assert Range.model_validate(written).written() == written
