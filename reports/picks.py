"""Choosing one network of a study, with the reason in words and the price of every limit.

Everything is chosen on validation accuracy; the test split is looked at afterwards, for the chosen one only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.confidence import wilson_interval
from reports.formats import amount, counted, percent, points, slim_accuracy
from reports.fronts import StudyFront, distinct, find_front, scores_of
from reports.pick_limits import COST_LIMITS, PickLimits, describe_cost, describe_excess
from reports.pick_rules import PICK_RULES, PickRule, default_rule
from reports.records import StudyRecords, TrialRecord

__all__ = ["PICK_RULES", "Miss", "NoPick", "Pick", "PickRule", "Price", "describe_missed", "pick"]

_NUM_NEAREST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What one limit costs: which network the same rule chooses where that limit alone is left out.

    ``record``: that network; the pick itself where the limit costs nothing. ``accuracy_gain``: of that network over
    the pick, in [-1, 1]. ``is_within_noise``: its accuracy is within the pick's 95 % interval. ``next_better``: where
    the limit is on a cost, the least costly network that is more accurate than the pick and misses this limit alone.
    """

    limit: str
    record: TrialRecord
    accuracy_gain: float
    is_within_noise: bool
    next_better: TrialRecord | None
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """The chosen trial, why, the next best ones, and the price of each limit.

    ``missed``: which limits it misses, and by how much, as `PickLimits.excess` counts it; empty unless the rule takes
    limits for wishes.
    """

    rule: str
    record: TrialRecord
    why: str
    runners_up: tuple[TrialRecord, ...]
    prices: tuple[Price, ...]
    missed: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Miss:
    """A network that nearly fits. ``excess``: per violated limit, as `PickLimits.excess` counts it."""

    record: TrialRecord
    excess: dict[str, float]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NoPick:
    """Nothing fits: why, and the networks that come nearest."""

    rule: str
    why: str
    nearest: tuple[Miss, ...]


def pick(
    study: StudyRecords | StudyFront,
    rule: str | None = None,
    limits: PickLimits | None = None,
    *,
    num_runners_up: int = 3,
) -> Pick | NoPick:
    """Choose a network by a rule of `PICK_RULES` among those within the limits.

    Networks of which a limited cost was not measured are left out.

    Args:
        study: The trials.
        rule: None: the cheapest if limits are on accuracy only, the most accurate otherwise.
        limits: None: none.
        num_runners_up: How many of the next best at most; networks with equal objective values count once.

    Raises:
        ValueError: No rule has this name, or a limited cost was measured of no network.
    """
    limits = limits or PickLimits()
    rule = default_rule(limits) if rule is None else rule
    if rule not in PICK_RULES:
        raise ValueError(f"unknown pick rule {rule!r}. Known rules: {', '.join(sorted(PICK_RULES))}.")
    front = study if isinstance(study, StudyFront) else find_front(study)
    measured = _measured(front, limits)
    pool = front.members if PICK_RULES[rule].front_only else front.ranked
    excess = {record.number: _excess(record, limits) for record in front.ranked}
    choice = _Choice(rule=PICK_RULES[rule], pool=pool, study=front.study, limits=limits, excess=excess)
    found = choice.make()
    if found is None:
        return _no_pick(rule, front, measured, limits, excess)
    ordered, why = found
    chosen = ordered[0]
    others = distinct(ordered, front.study.objectives)
    return Pick(
        rule=rule,
        record=chosen,
        why=why,
        runners_up=tuple(record for record in others if record is not chosen)[:num_runners_up],
        prices=tuple(_price(choice, chosen, name) for name in limits.names()),
        missed=excess[chosen.number],
    )


def describe_missed(record: TrialRecord, excess: Mapping[str, float]) -> str:
    """Say in words which limits a network misses, and by how much."""
    return " and ".join(describe_excess(name, by, scores_of(record)) for name, by in excess.items())


def _measured(front: StudyFront, limits: PickLimits) -> list[TrialRecord]:
    """Return the networks that can be judged by the limits."""
    measured = [record for record in front.ranked if not limits.unknown_costs(scores_of(record))]
    if front.ranked and not measured:
        unknown = limits.unknown_costs(scores_of(front.ranked[0]))[0]
        raise ValueError(
            f"a limit on {unknown} needs networks whose {unknown} was measured, but study '{front.study.study}' has "
            f"none; give its search a budget on {unknown}"
        )
    return measured


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """What is chosen from, how, and by how much each network of the ``pool`` misses the limits, by its number.

    What was not measured of a network misses its limit by infinity, whatever the rule.
    """

    rule: PickRule
    pool: Sequence[TrialRecord]
    study: StudyRecords
    limits: PickLimits
    excess: Mapping[int, Mapping[str, float]]

    def make(self, without: str | None = None) -> tuple[list[TrialRecord], str] | None:
        """Return the candidates best first and why the first one, all limits kept but one; None: nothing fits."""
        limits = self.limits if without is None else self.limits.without(without)
        candidates = [record for record in self.pool if self._may_be_chosen(record, without)]
        return self.rule.order(candidates, self.study, limits) if candidates else None

    def _may_be_chosen(self, record: TrialRecord, without: str | None) -> bool:
        missed = {name: by for name, by in self.excess[record.number].items() if name != without}
        return all(map(math.isfinite, missed.values())) if self.rule.limits_are_wishes else not missed


def _excess(record: TrialRecord, limits: PickLimits) -> dict[str, float]:
    unknown = [f"max_{resource}" for resource in limits.unknown_costs(scores_of(record))]
    known = limits.without(*unknown) if unknown else limits
    return {**dict.fromkeys(unknown, math.inf), **known.excess(scores_of(record))}


def _price(choice: _Choice, chosen: TrialRecord, name: str) -> Price:
    found = choice.make(without=name)
    assert found is not None  # the pick itself is a candidate
    without = found[0][0]
    mine, theirs = scores_of(chosen), scores_of(without)
    is_noise = theirs.accuracy in wilson_interval(mine.num_correct_fine_tuned, mine.num_images)
    next_better = _next_better(choice, chosen, name)
    return Price(
        limit=name,
        record=without,
        accuracy_gain=theirs.accuracy - mine.accuracy,
        is_within_noise=is_noise,
        next_better=next_better,
        text=_price_text(chosen, without, next_better, name, choice.limits, is_noise=is_noise),
    )


def _next_better(choice: _Choice, chosen: TrialRecord, name: str) -> TrialRecord | None:
    if name not in COST_LIMITS:
        return None
    accuracy = scores_of(chosen).accuracy
    better = [
        record
        for record in choice.pool
        if choice.excess[record.number].keys() == {name}
        and math.isfinite(choice.excess[record.number][name])
        and scores_of(record).accuracy > accuracy
    ]
    resource = name.removeprefix("max_")
    return min(
        better,
        key=lambda record: (
            scores_of(record).cost(resource),
            -scores_of(record).accuracy,
            record.number,
        ),
        default=None,
    )


def _price_text(
    chosen: TrialRecord,
    without: TrialRecord,
    next_better: TrialRecord | None,
    name: str,
    limits: PickLimits,
    *,
    is_noise: bool,
) -> str:
    limit = limits.text_of(name)
    if without.number == chosen.number:
        text = f"{limit}: costs nothing by itself, the choice without it is the same"
    else:
        mine, theirs = scores_of(chosen), scores_of(without)
        doubt = ", within the uncertainty of the validation images" if is_noise else ""
        text = (
            f"{limit}: without it, trial {without.number} with {slim_accuracy(theirs)} "
            f"({points(theirs.accuracy - mine.accuracy)} points{doubt}) "
            f"at {amount(theirs.macs)} FLOPs (MACs) ({percent(theirs.macs_share)})"
        )
    if next_better is not None and next_better.number != without.number:
        gain = scores_of(next_better).accuracy - scores_of(chosen).accuracy
        cost = describe_cost(name, scores_of(next_better))
        text += f"; allowing {cost} would bring trial {next_better.number}, {points(gain)}"
    return f"{text[0].upper()}{text[1:]}."


def _no_pick(
    rule: str,
    front: StudyFront,
    measured: Sequence[TrialRecord],
    limits: PickLimits,
    distances: Mapping[int, dict[str, float]],
) -> NoPick:
    if not front.ranked:
        why = f"Study '{front.study.study}' has no complete and feasible trial yet."
        return NoPick(rule=rule, why=why, nearest=())
    by_distance = sorted(
        measured, key=lambda record: (sum(distances[record.number].values()), -scores_of(record).accuracy)
    )
    nearest = []
    for record in distinct(by_distance, front.study.objectives)[:_NUM_NEAREST]:
        excess = distances[record.number]
        text = f"Trial {record.number}: {describe_missed(record, excess)}."
        nearest.append(Miss(record=record, excess=excess, text=text))
    choice = counted(len(measured), "network")
    why = f"No network of study '{front.study.study}' has {limits} ({choice} to choose from)."
    return NoPick(rule=rule, why=why, nearest=tuple(nearest))
