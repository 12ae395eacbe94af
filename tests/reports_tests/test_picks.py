import time

import pytest

from reports.fronts import scores_of
from reports.objectives import Direction
from reports.pick_limits import parse_limits
from reports.picks import NoPick, Pick, pick
from reports.records import StudyRecords
from tests.reports_tests.synthetic import ACCURACY_AND_MACS, make_study, record_with, staircase, study_of


def picked(study: StudyRecords, rule: str | None, **limits: str) -> Pick:
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


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({}, "best_under"),
        ({"max_macs": "50%"}, "best_under"),
        ({"min_accuracy": "90%", "max_macs": "50%"}, "best_under"),
        ({"min_accuracy": "90%"}, "cheapest"),
        ({"max_drop": "5"}, "cheapest"),
        ({"min_accuracy": "90%", "max_drop": "5"}, "cheapest"),
    ],
)
def test_without_a_rule_limits_on_accuracy_alone_ask_for_the_cheapest(
    limits: dict[str, str], rule: str
) -> None:
    assert picked(BENT, None, **limits).rule == rule


def test_cheapest_needs_the_fewest_macs() -> None:
    choice = picked(BENT, "cheapest", min_accuracy="90%")
    assert choice.record.number == 1
    assert choice.why == (
        "Trial 1 needs the fewest FLOPs (MACs) (400K, 40.0% of the dense network) of the 3 networks with at least 90% "
        "accuracy."
    )
    assert [record.number for record in choice.runners_up] == [2, 3]


def test_cheapest_without_limits_is_the_smallest_of_all() -> None:
    choice = picked(BENT, "cheapest")
    assert (choice.record.number, choice.prices) == (0, ())
    assert choice.why.endswith("of the study.")


def test_cheapest_counts_what_the_study_minimises_first() -> None:
    records = [record_with(0, 0.9, 400_000, 60_000), record_with(1, 0.9, 500_000, 50_000)]
    by_params = {"accuracy": Direction.MAXIMIZE, "params": Direction.MINIMIZE}
    study = study_of(records).model_copy(update={"objectives": by_params})
    choice = picked(study, "cheapest")
    assert choice.record.number == 1
    assert choice.why == "Trial 1 needs the fewest params (50.0K, 50.0% of the dense network) of the study."


def test_of_equally_cheap_networks_the_most_accurate_is_picked() -> None:
    records = [
        record_with(0, 0.8, 400_000, 40_000),
        record_with(1, 0.9, 400_000, 40_000),
        record_with(2, 0.9, 400_000, 40_000),
    ]
    choice = picked(study_of(records), "cheapest")
    assert [choice.record.number, *(record.number for record in choice.runners_up)] == [1, 0]


@pytest.mark.parametrize(("drop", "number"), [("0", 3), ("0.5", 3), ("1", 2), ("3%", 1), ("100", 0)])
def test_a_drop_is_counted_in_points_against_the_dense_network(drop: str, number: int) -> None:
    accuracies = (0.60, 0.92, 0.94, 0.95)
    records = [record_with(i, accuracy, 200_000 * (i + 1), 90) for i, accuracy in enumerate(accuracies)]
    assert picked(study_of(records), None, max_drop=drop).record.number == number  # the dense one has 95 %


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


def test_the_price_of_a_limit_is_what_the_same_rule_would_choose_without_it() -> None:
    (price,) = picked(BENT, "best_under", max_macs="50%").prices
    assert (price.limit, price.record.number) == ("max_macs", 3)
    assert price.accuracy_gain == pytest.approx(0.03)
    assert price.next_better is not None
    assert price.next_better.number == 2
    assert price.text == (
        "At most 50% of the FLOPs (MACs): without it, trial 3 with 93.0% (+3.00 points) at 950K FLOPs (MACs) (95.0%); "
        "allowing 700K FLOPs (MACs) (70.0%) would bring trial 2, +2.00."
    )


def test_a_price_within_the_uncertainty_says_so() -> None:
    few = study_of(
        [
            record_with(0, 0.80, 200_000, 20_000, num_images=50),
            record_with(1, 0.82, 400_000, 40_000, num_images=50),
        ]
    )
    (price,) = picked(few, "best_under", max_macs="20%").prices
    assert price.is_within_noise
    assert "(+2.00 points, within the uncertainty of the validation images)" in price.text
    many = study_of(
        [
            record_with(0, 0.80, 200_000, 20_000, num_images=9000),
            record_with(1, 0.9, 400_000, 40_000, num_images=9000),
        ]
    )
    assert not picked(many, "best_under", max_macs="20%").prices[0].is_within_noise


def test_limits_that_only_bind_together_cost_nothing_by_themselves() -> None:
    prices = picked(BENT, "best_under", max_macs="50%", max_params="50%").prices
    assert [(price.limit, price.record.number, price.accuracy_gain) for price in prices] == [
        ("max_macs", 1, 0.0),
        ("max_params", 1, 0.0),
    ]
    assert prices[1].text == (
        "At most 50% of the params: costs nothing by itself, the choice without it is the same."
    )


def test_the_price_of_an_accuracy_is_what_a_lower_one_would_save() -> None:
    (price,) = picked(BENT, None, min_accuracy="90%").prices
    assert (price.record.number, price.next_better) == (0, None)
    assert price.text == (
        "At least 90% accuracy: without it, trial 0 with 60.0% (-30.00 points) at 200K FLOPs (MACs) (20.0%)."
    )


def test_the_price_of_a_limit_of_the_knee_is_the_knee_without_it() -> None:
    choice = picked(BENT, "knee", max_macs="30%")
    assert [price.record.number for price in choice.prices] == [1]


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
    choice = picked(BENT, "closest")
    assert choice.record.number == 1
    assert choice.why == "Trial 1 comes nearest to the best value of every objective at once."


def test_closest_takes_limits_for_wishes_and_misses_them_by_as_little_as_possible() -> None:
    # ranges: 0.75 of the MACs, 0.33 of accuracy; trial 0 misses 0.30 / 0.33 of accuracy, trial 1 misses 0.1 / 0.75
    choice = picked(BENT, "closest", max_macs="30%", min_accuracy="90%")
    assert choice.record.number == 1
    assert choice.missed == pytest.approx({"max_macs": 0.1})
    assert choice.why == (
        "Trial 1 comes nearest to at most 30% of the FLOPs (MACs) and at least 90% accuracy; "
        "no network of the front has all of it."
    )


def test_closest_weighs_what_is_missed_by_how_much_networks_differ_in_it() -> None:
    # both miss by 0.1; that is half of the range of accuracies and an eighth of the range of MACs
    records = [
        record_with(0, 0.70, 100_000, 10_000),
        record_with(1, 0.80, 300_000, 30_000),
        record_with(2, 0.90, 900_000, 90_000),
    ]
    study = study_of(records).model_copy(update={"objectives": ACCURACY_AND_MACS})
    assert picked(study, "closest", max_macs="20%", min_accuracy="80%").record.number == 1
    assert picked(study, "closest", max_macs="10%", min_accuracy="90%").record.number == 1
    assert picked(study, "closest", max_macs="80%", min_accuracy="90%").record.number == 2


def test_closest_among_networks_that_fulfil_every_wish_is_nearest_to_the_ideal() -> None:
    choice = picked(BENT, "closest", max_macs="70%")
    assert (choice.record.number, choice.missed) == (1, {})
    assert choice.why.endswith("of the 3 networks of the front with at most 70% of the FLOPs (MACs).")
    assert picked(BENT, "closest", max_macs="30%").why == (
        "Trial 0 is the only network of the front with at most 30% of the FLOPs (MACs)."
    )


def test_as_many_runners_up_come_as_are_asked_for() -> None:
    for number in (0, 1, 9):
        choice = pick(BENT, "cheapest", num_runners_up=number)
        assert isinstance(choice, Pick)
        assert [record.number for record in choice.runners_up] == [1, 2, 3][:number]


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
    with pytest.raises(
        ValueError, match=r"unknown pick rule 'best'. Known rules: best_under, cheapest, closest, knee"
    ):
        pick(BENT, "best")


def test_every_runner_up_is_another_network() -> None:
    study = study_of([record_with(number, 0.9, 400_000, 40_000) for number in range(4)])
    assert picked(study, "best_under").runners_up == ()


@pytest.mark.slow
def test_choosing_among_ten_thousand_trials_takes_less_than_two_seconds() -> None:
    study = make_study(10_000)
    start = time.process_time()
    choice = picked(study, "best_under", max_macs="50%", max_params="50%")
    assert time.process_time() - start < 2
    assert scores_of(choice.record).macs_share <= 0.5
