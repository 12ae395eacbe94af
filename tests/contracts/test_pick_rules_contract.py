"""What every entry of `PICK_RULES` promises."""

from random import Random

import pytest

from reports.fronts import find_front, scores_of
from reports.pick_limits import PickLimits, parse_limits
from reports.picks import PICK_RULES, NoPick, Pick, pick
from reports.records import TrialStatus
from tests.reports_tests.synthetic import MIXED, make_study, study_of

LIMITS = [
    parse_limits(),
    parse_limits(max_macs="50%"),
    parse_limits(max_params="0.2M"),
    parse_limits(min_accuracy="88%"),
    parse_limits(max_macs="60%", max_params="70%", min_accuracy=0.85),
]


@pytest.mark.parametrize("rule", PICK_RULES)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_pick_keeps_every_limit_and_says_why(rule: str, limits: PickLimits, seed: int) -> None:
    study = make_study(50, seed=seed, statuses=MIXED)
    choice = pick(study, rule, limits)
    assert isinstance(choice, Pick)
    for record in (choice.record, *choice.runners_up):
        assert record.status is TrialStatus.COMPLETE
        assert limits.excess(scores_of(record)) == {}
    assert choice.record not in choice.runners_up
    assert choice.why.startswith(f"Trial {choice.record.number} ")
    assert choice.why.endswith(".")
    assert "\n" not in choice.why


@pytest.mark.parametrize("rule", PICK_RULES)
def test_no_other_network_beats_a_pick_everywhere(rule: str) -> None:
    study = make_study(60, statuses=MIXED)
    choice = pick(study, rule)
    assert isinstance(choice, Pick)
    assert choice.record in find_front(study).members


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


@pytest.mark.parametrize("rule", PICK_RULES)
def test_nothing_fits_is_an_answer_with_the_nearest_misses(rule: str) -> None:
    result = pick(make_study(20), rule, parse_limits(max_macs="1%", min_accuracy="99%"))
    assert isinstance(result, NoPick)
    assert len(result.nearest) == 3
    assert all(miss.excess for miss in result.nearest)


@pytest.mark.parametrize("rule", PICK_RULES)
@pytest.mark.parametrize("status", [None, TrialStatus.FAILED, TrialStatus.RUNNING])
def test_a_study_without_networks_gives_no_pick(rule: str, status: TrialStatus | None) -> None:
    study = make_study(0) if status is None else make_study(3, statuses=(status,))
    assert isinstance(pick(study, rule), NoPick)


@pytest.mark.parametrize("rule", PICK_RULES)
def test_a_rule_says_what_it_means(rule: str) -> None:
    assert len(PICK_RULES[rule].meaning) > 20
