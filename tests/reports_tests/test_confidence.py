import pytest

from reports.confidence import wilson_interval


@pytest.mark.parametrize(
    ("num_correct", "num_images", "low", "high"),
    [  # published examples: Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_equals_published_values(num_correct: int, num_images: int, low: float, high: float) -> None:
    interval = wilson_interval(num_correct, num_images)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_interval_is_mirrored_when_right_and_wrong_swap() -> None:
    first, second = wilson_interval(30, 100), wilson_interval(70, 100)
    assert first.low == pytest.approx(1 - second.high)
    assert first.high == pytest.approx(1 - second.low)


def test_interval_keeps_a_width_at_the_ends_and_stays_in_range() -> None:
    for num_correct in (0, 50):
        interval = wilson_interval(num_correct, 50)
        assert 0 <= interval.low < interval.high <= 1
        assert num_correct / 50 in interval


def test_interval_shrinks_with_images_and_grows_with_confidence() -> None:
    assert wilson_interval(900, 1000).half_width < wilson_interval(90, 100).half_width
    assert wilson_interval(90, 100).half_width < wilson_interval(90, 100, confidence=0.99).half_width


def test_interval_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match=r"0 <= num_correct <= num_images > 0 must hold, but got 5 of 4"):
        wilson_interval(5, 4)
    with pytest.raises(ValueError, match="but got 0 of 0"):
        wilson_interval(0, 0)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), but got 1"):
        wilson_interval(1, 2, confidence=1.0)
