"""Choosing one network of a study, with the reason in words and the price of every limit.

Everything is chosen on validation accuracy; the test split is looked at afterwards, for the chosen one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.confidence import wilson_interval
from reports.formats import amount, counted, points, slim_accuracy
from reports.fronts import StudyFront, distinct, find_front, scores_of
from reports.pick_limits import PickLimits, describe_cost, describe_excess
from reports.pick_rules import PICK_RULES, PickRule
from reports.records import StudyRecords, TrialRecord

__all__ = ["PICK_RULES", "Miss", "NoPick", "Pick", "PickRule", "Price", "pick"]

_NUM_RUNNERS_UP = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What easing one limit, and only that one, to the next better network would bring."""

    limit: str
    record: TrialRecord
    accuracy_gain: float
    is_within_noise: bool
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """The chosen trial, why, the next best ones, and the price of each limit that costs something."""

    rule: str
    record: TrialRecord
    why: str
    runners_up: tuple[TrialRecord, ...]
    prices: tuple[Price, ...]


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


def pick(study: StudyRecords | StudyFront, rule: str, limits: PickLimits | None = None) -> Pick | NoPick:
    """Choose a network by a rule of `PICK_RULES` among those within the limits.

    Networks of which a limited cost was not measured are left out.

    Raises:
        ValueError: No rule has this name, or a limited cost was measured of no network.
    """
    if rule not in PICK_RULES:
        raise ValueError(f"unknown pick rule {rule!r}. Known rules: {', '.join(sorted(PICK_RULES))}.")
    limits = limits or PickLimits()
    front = study if isinstance(study, StudyFront) else find_front(study)
    measured = _measured(front, limits)
    pool = front.members if PICK_RULES[rule].front_only else front.ranked
    numbers = {record.number for record in measured}
    candidates = [r for r in pool if r.number in numbers and not limits.excess(scores_of(r))]
    if not candidates:
        return _no_pick(rule, front, measured, limits)
    ordered, why = PICK_RULES[rule].order(candidates, front.study, limits)
    chosen = ordered[0]
    others = distinct(ordered, front.study.objectives)
    return Pick(
        rule=rule,
        record=chosen,
        why=why,
        runners_up=tuple(record for record in others if record is not chosen)[:_NUM_RUNNERS_UP],
        prices=_prices(chosen, measured, limits),
    )


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


def _prices(chosen: TrialRecord, measured: Sequence[TrialRecord], limits: PickLimits) -> tuple[Price, ...]:
    prices = [_price(chosen, name, measured, limits) for name in limits.names()]
    return tuple(price for price in prices if price is not None)


def _price(
    chosen: TrialRecord, name: str, measured: Sequence[TrialRecord], limits: PickLimits
) -> Price | None:
    only_this = [record for record in measured if set(limits.excess(scores_of(record))) == {name}]
    mine = scores_of(chosen)
    if name == "min_accuracy":
        better = [record for record in only_this if scores_of(record).macs < mine.macs]
        best = max(better, key=lambda record: (scores_of(record).accuracy, -record.number), default=None)
    else:
        better = [record for record in only_this if scores_of(record).accuracy > mine.accuracy]
        resource = name.removeprefix("max_")
        best = min(
            better,
            key=lambda record: (
                getattr(scores_of(record), resource),
                -scores_of(record).accuracy,
                record.number,
            ),
            default=None,
        )
    if best is None:
        return None
    theirs = scores_of(best)
    gain = theirs.accuracy - mine.accuracy
    is_noise = theirs.accuracy in wilson_interval(mine.num_correct_fine_tuned, mine.num_images)
    eased = (
        f"an accuracy of {slim_accuracy(theirs)}" if name == "min_accuracy" else describe_cost(name, theirs)
    )
    saved = f" and saves {amount(mine.macs - theirs.macs)} FLOPs (MACs)" if name == "min_accuracy" else ""
    doubt = ", within the uncertainty of the validation images" if is_noise else ""
    text = f"Allowing {eased} leads to trial {best.number}: {points(gain)} points{doubt}{saved}."
    return Price(limit=name, record=best, accuracy_gain=gain, is_within_noise=is_noise, text=text)


def _no_pick(rule: str, front: StudyFront, measured: Sequence[TrialRecord], limits: PickLimits) -> NoPick:
    if not front.ranked:
        why = f"Study '{front.study.study}' has no complete and feasible trial yet."
        return NoPick(rule=rule, why=why, nearest=())
    distances = {record.number: limits.excess(scores_of(record)) for record in measured}
    by_distance = sorted(
        measured, key=lambda record: (sum(distances[record.number].values()), -scores_of(record).accuracy)
    )
    nearest = []
    for record in distinct(by_distance, front.study.objectives)[:_NUM_RUNNERS_UP]:
        excess = distances[record.number]
        words = " and ".join(describe_excess(name, by, scores_of(record)) for name, by in excess.items())
        nearest.append(Miss(record=record, excess=excess, text=f"Trial {record.number}: {words}."))
    choice = counted(len(measured), "network")
    why = f"No network of study '{front.study.study}' has {limits} ({choice} to choose from)."
    return NoPick(rule=rule, why=why, nearest=tuple(nearest))
