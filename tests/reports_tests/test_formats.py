import pytest

from reports.formats import accuracy_text, amount, clock_time, counted, duration, percent, points
from reports.pick_limits import parse_limits


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (812, "812"),
        (999.6, "1.00K"),
        (1000, "1.00K"),
        (272_474, "272K"),
        (999_499, "999K"),
        (999_500, "1.00M"),
        (40_813_184, "40.8M"),
        (9_552_512, "9.55M"),
        (4.0892e9, "4.09G"),
    ],
)
def test_amounts_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize("value", [812, 9_552_512, 40_813_184, 4_089_200_000])
def test_an_amount_can_be_typed_back_as_a_limit(value: int) -> None:
    limit = parse_limits(max_macs=amount(value)).max_macs
    assert limit is not None
    assert limit.resolve(1) == pytest.approx(value, rel=5e-3)


def test_accuracies_have_as_many_decimals_as_the_images_support() -> None:
    assert accuracy_text(0.91238, 5000) == "91.24%"
    assert accuracy_text(0.91238, 270) == "91.2%"
    assert percent(0.4) == "40.0%"


@pytest.mark.parametrize(
    ("change", "text"), [(-0.0042, "-0.42"), (0.0042, "+0.42"), (0.0, "0.00"), (-0.00001, "0.00")]
)
def test_points_have_a_sign_unless_nothing_changed(change: float, text: str) -> None:
    assert points(change) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.24, "8.2 s"),
        (59.97, "1 min 0 s"),
        (250, "4 min 10 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 7200, "3 d 2 h"),
    ],
)
def test_durations_show_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moments_are_written_in_utc() -> None:
    assert clock_time(1_700_000_000) == "2023-11-14 22:13 UTC"


def test_one_is_singular() -> None:
    assert (counted(1, "trial"), counted(0, "trial"), counted(1200, "trial")) == (
        "1 trial",
        "0 trials",
        "1,200 trials",
    )
