import time

import pytest

from reports.fronts import scores_of
from reports.pick_limits import parse_limits
from reports.picks import NoPick, Pick, pick
from reports.records import StudyRecords
from tests.reports_tests.synthetic import ACCURACY_AND_MACS, make_study, record_with, staircase, study_of


def picked(study: StudyRecords, rule: str, **limits: str) -> Pick:
    result = pick(study, rule, parse_limits(**limits))
    assert isinstance(result, Pick)
    return result


def refused(study: StudyRecords, rule: str, **limits: str) -> NoPick:
    result = pick(study, rule, parse_limits(**limits))
    assert isinstance(result, NoPick)
    return result


BENT = study_of(  # gains much up to trial 1, little after it
    [
        record_with(0, 0.60, 200_000, 20_000),
        record_with(1, 0.90, 400_000, 40_000),
        record_with(2, 0.92, 700_000, 70_000),
        record_with(3, 0.93, 950_000, 95_000),
    ]
)


def test_best_under_takes_the_highest_accuracy_within_the_limits() -> None:
    choice = picked(BENT, "best_under", max_macs="70%")
    assert choice.record.number == 2
    assert choice.why == (
        "Trial 2 has the highest validation accuracy (92.0%) of the 3 networks with at most 70% of the FLOPs (MACs)."
    )
    assert [record.number for record in choice.runners_up] == [1, 0]


def test_best_under_an_accuracy_alone_takes_the_cheapest() -> None:
    choice = picked(BENT, "best_under", min_accuracy="90%")
    assert choice.record.number == 1
    assert choice.why.startswith("Trial 1 needs the fewest FLOPs (MACs) (400K, 40.0% of the dense network)")


def test_best_under_without_limits_is_the_most_accurate() -> None:
    choice = picked(BENT, "best_under")
    assert choice.record.number == 3
    assert "of the study" in choice.why
    assert choice.prices == ()


def test_best_under_prefers_the_cheaper_of_equally_accurate_networks() -> None:
    study = study_of([record_with(0, 0.9, 500_000, 50_000), record_with(1, 0.9, 400_000, 60_000)])
    assert picked(study, "best_under").record.number == 1


def test_best_under_honours_a_cost_that_is_no_objective() -> None:
    records = [record_with(0, 0.9, 400_000, 90_000), record_with(1, 0.8, 500_000, 10_000)]
    study = study_of(records).model_copy(update={"objectives": ACCURACY_AND_MACS})
    assert picked(study, "best_under", max_params="20%").record.number == 1


def test_price_of_a_limit_is_the_next_better_network_beyond_it() -> None:
    (price,) = picked(BENT, "best_under", max_macs="50%").prices
    assert (price.limit, price.record.number) == ("max_macs", 2)
    assert price.accuracy_gain == pytest.approx(0.02)
    assert price.text.startswith("Allowing 700K FLOPs (MACs) (70.0%) leads to trial 2: +2.00 points")


def test_price_within_the_uncertainty_says_so() -> None:
    few = study_of(
        [
            record_with(0, 0.80, 200_000, 20_000, num_images=50),
            record_with(1, 0.82, 400_000, 40_000, num_images=50),
        ]
    )
    (price,) = picked(few, "best_under", max_macs="20%").prices
    assert price.is_within_noise
    assert "within the uncertainty of the validation images" in price.text
    many = study_of(
        [
            record_with(0, 0.80, 200_000, 20_000, num_images=9000),
            record_with(1, 0.9, 400_000, 40_000, num_images=9000),
        ]
    )
    assert not picked(many, "best_under", max_macs="20%").prices[0].is_within_noise


def test_limits_that_only_bind_together_have_no_price_of_their_own() -> None:
    assert picked(BENT, "best_under", max_macs="50%", max_params="50%").prices == ()


def test_price_of_an_accuracy_is_what_a_lower_one_would_save() -> None:
    (price,) = picked(BENT, "best_under", min_accuracy="90%").prices
    assert price.record.number == 0
    assert price.text == (
        "Allowing an accuracy of 60.0% leads to trial 0: -30.00 points and saves 200K FLOPs (MACs)."
    )


def test_knee_is_where_the_front_bends() -> None:
    choice = picked(BENT, "knee")
    assert choice.record.number == 1
    assert choice.why == (
        "Trial 1 is the knee of the front: larger networks gain little on it, smaller ones lose much."
    )


def test_knee_is_farthest_from_the_chord() -> None:
    # accuracy 1 - (1 - x)^2 over MACs x: the distance to the chord is largest at x = 1/2
    records = [record_with(i, 1 - (1 - i / 20) ** 2, i * 50_000, 50, num_images=400) for i in range(1, 20)]
    study = study_of(records).model_copy(update={"objectives": ACCURACY_AND_MACS})
    low, high = 1 / 20, 19 / 20
    assert picked(study, "knee").record.number == round((low + high) / 2 * 20)


def test_knee_of_a_straight_front_is_its_most_accurate_end() -> None:
    choice = picked(study_of(staircase(5)), "knee")
    assert choice.record.number == 4
    assert "has no bend" in choice.why


def test_knee_stays_within_the_limits() -> None:
    assert picked(BENT, "knee", max_macs="30%").record.number == 0


def test_closest_balances_all_objectives() -> None:
    assert picked(BENT, "closest").record.number == 1


def test_nothing_fits_names_the_nearest_misses_and_by_how_much() -> None:
    result = refused(BENT, "best_under", max_macs="30%", min_accuracy="90%")
    assert result.why == (
        "No network of study 'cifar10-resnet20' has at most 30% of the FLOPs (MACs) and at least 90% accuracy "
        "(4 networks to choose from)."
    )
    assert [miss.record.number for miss in result.nearest] == [1, 0, 2]
    assert result.nearest[0].excess == pytest.approx({"max_macs": 0.1})
    assert result.nearest[0].text == "Trial 1: 100K FLOPs (MACs) too many."
    assert result.nearest[1].text == "Trial 0: 30.00 points of accuracy too low."


def test_an_unfinished_study_has_nothing_to_choose() -> None:
    result = refused(make_study(0), "knee")
    assert result.why == "Study 'cifar10-resnet20' has no complete and feasible trial yet."
    assert result.nearest == ()


def test_unknown_rule_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown pick rule 'best'. Known rules: best_under, closest, knee"):
        pick(BENT, "best")


def test_every_runner_up_is_another_network() -> None:
    study = study_of([record_with(number, 0.9, 400_000, 40_000) for number in range(4)])
    assert picked(study, "best_under").runners_up == ()


@pytest.mark.slow
def test_choosing_among_ten_thousand_trials_takes_less_than_two_seconds() -> None:
    study = make_study(10_000)
    start = time.perf_counter()
    choice = picked(study, "best_under", max_macs="50%", max_params="50%")
    assert time.perf_counter() - start < 2
    assert scores_of(choice.record).macs_share <= 0.5
