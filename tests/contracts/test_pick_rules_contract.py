"""What every entry of `PICK_RULES` promises."""

import math
from random import Random

import pytest

from reports.fronts import find_front, scores_of
from reports.objectives import Direction
from reports.pick_limits import PickLimits, parse_limits
from reports.picks import PICK_RULES, NoPick, Pick, pick
from reports.records import TrialStatus
from tests.reports_tests.synthetic import ACCURACY_AND_MACS, MIXED, make_study, record_with, study_of

LIMITS = [
    parse_limits(),
    parse_limits(max_macs="50%"),
    parse_limits(max_params="0.2M"),
    parse_limits(min_accuracy="88%"),
    parse_limits(max_macs="60%", max_params="70%", min_accuracy=0.85),
    parse_limits(max_drop="4", max_params="70%"),
]
OBJECTIVES = (
    ACCURACY_AND_MACS,
    {**ACCURACY_AND_MACS, "params": Direction.MINIMIZE},
    {
        **ACCURACY_AND_MACS,
        "params": Direction.MINIMIZE,
        "explanation_similarity": Direction.MAXIMIZE,
        "explanation_distance": Direction.MINIMIZE,
    },
)


@pytest.mark.parametrize("rule", PICK_RULES)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_pick_keeps_every_limit_and_says_why(rule: str, limits: PickLimits, seed: int) -> None:
    study = make_study(50, seed=seed, statuses=MIXED)
    choice = pick(study, rule, limits)
    assert isinstance(choice, Pick)
    assert choice.missed == {}
    assert [price.limit for price in choice.prices] == list(limits.names())
    for record in (choice.record, *choice.runners_up):
        assert record.status is TrialStatus.COMPLETE
        assert limits.excess(scores_of(record)) == {} or PICK_RULES[rule].limits_are_wishes
    assert choice.record not in choice.runners_up
    assert choice.why.startswith(f"Trial {choice.record.number} ")
    assert choice.why.endswith(".")
    assert "\n" not in choice.why


@pytest.mark.parametrize("rule", PICK_RULES)
@pytest.mark.parametrize("objectives", OBJECTIVES, ids=len)
def test_no_other_network_beats_a_pick_everywhere(rule: str, objectives: dict[str, Direction]) -> None:
    study = make_study(60, statuses=MIXED).model_copy(update={"objectives": objectives})
    choice = pick(study, rule)
    assert isinstance(choice, Pick)
    assert choice.record in find_front(study).members


@pytest.mark.parametrize("rule", PICK_RULES)
def test_one_objective_leaves_rules_of_the_front_the_best_network_only(rule: str) -> None:
    study = make_study(30).model_copy(update={"objectives": {"accuracy": Direction.MAXIMIZE}})
    choice = pick(study, rule)
    assert isinstance(choice, Pick)
    if PICK_RULES[rule].front_only:
        best = max(scores_of(record).accuracy for record in study.records)
        assert scores_of(choice.record).accuracy == best
    assert PICK_RULES[rule].front_only or choice.runners_up


@pytest.mark.parametrize("rule", PICK_RULES)
def test_of_equal_networks_the_first_is_picked_and_the_others_are_no_runners_up(rule: str) -> None:
    twins = [record_with(number, 0.9, 400_000, 40_000) for number in range(4)]
    choice = pick(study_of([*reversed(twins), record_with(4, 0.5, 900_000, 90_000)]), rule)
    assert isinstance(choice, Pick)
    assert choice.record.number == 0
    assert {record.number for record in choice.runners_up} <= {4}


@pytest.mark.parametrize("rule", PICK_RULES)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_the_price_of_a_limit_is_the_choice_without_it(rule: str, limits: PickLimits) -> None:
    study = make_study(40, seed=7)
    choice = pick(study, rule, limits)
    assert isinstance(choice, Pick)
    for price in choice.prices:
        eased = pick(study, rule, limits.without(price.limit))
        assert isinstance(eased, Pick)
        assert price.record == eased.record
        gain = scores_of(eased.record).accuracy - scores_of(choice.record).accuracy
        assert price.accuracy_gain == gain
        assert math.isfinite(gain)
        assert gain >= 0 or rule != "best_under"


@pytest.mark.parametrize("rule", PICK_RULES)
def test_a_pick_does_not_depend_on_the_order_of_trials(rule: str) -> None:
    study = make_study(40)
    records = list(study.records)
    Random(5).shuffle(records)
    assert pick(study_of(records), rule) == pick(study, rule)


@pytest.mark.parametrize("rule", PICK_RULES)
def test_a_single_network_is_picked_by_every_rule(rule: str) -> None:
    choice = pick(make_study(1), rule)
    assert isinstance(choice, Pick)
    assert (choice.record.number, choice.runners_up) == (0, ())


STRICT_RULES = [name for name, rule in PICK_RULES.items() if not rule.limits_are_wishes]


@pytest.mark.parametrize("rule", STRICT_RULES)
def test_nothing_fits_is_an_answer_with_the_nearest_misses(rule: str) -> None:
    result = pick(make_study(20), rule, parse_limits(max_macs="1%", min_accuracy="99%"))
    assert isinstance(result, NoPick)
    assert len(result.nearest) == 3
    assert all(miss.excess for miss in result.nearest)


@pytest.mark.parametrize("rule", sorted(set(PICK_RULES) - set(STRICT_RULES)))
def test_wishes_that_nothing_fulfils_are_missed_and_said_to_be(rule: str) -> None:
    limits = parse_limits(max_macs="1%", min_accuracy="99%")
    choice = pick(make_study(20), rule, limits)
    assert isinstance(choice, Pick)
    assert choice.missed == limits.excess(scores_of(choice.record))
    assert set(choice.missed) == {"max_macs", "min_accuracy"}


@pytest.mark.parametrize("rule", PICK_RULES)
@pytest.mark.parametrize("status", [None, TrialStatus.FAILED, TrialStatus.RUNNING])
def test_a_study_without_networks_gives_no_pick(rule: str, status: TrialStatus | None) -> None:
    study = make_study(0) if status is None else make_study(3, statuses=(status,))
    assert isinstance(pick(study, rule), NoPick)


@pytest.mark.parametrize("rule", PICK_RULES)
def test_a_rule_says_what_it_means(rule: str) -> None:
    assert len(PICK_RULES[rule].meaning) > 20
