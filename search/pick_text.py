"""A pick in plain text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.confirmations import Confirmation
from reports.formats import accuracy_text, amount, amount_of, percent, points, slim_accuracy
from reports.fronts import scores_of
from reports.picks import NoPick, Pick, describe_missed
from reports.records import NetworkScores, TestScores, TrialRecord
from search.front_text import accuracy_with_interval
from search.text_tables import pair_lines, table_lines

__all__ = [
    "confirmation_lines",
    "no_pick_lines",
    "pick_lines",
    "plain_confirmation",
    "plain_pick",
    "plain_test",
]

_OPTIONAL_COSTS = ("activation_memory", "latency_ms")


def pick_lines(found: Pick, test: TestScores | None, *, top: int | None) -> list[str]:
    """Say which network it is, why, what comes next to it, and what its limits cost; ``top``: as a table of so many."""
    record = found.record
    lines = [found.why]
    if found.missed:
        lines.append(f"It misses: {describe_missed(record, found.missed)}.")
    lines += ["", *pair_lines(_facts(record, test))]
    if top is not None:
        lines += ["", *_table([record, *found.runners_up])]
    elif found.runners_up:
        lines += ["", "Next best:"]
        lines += [f"  trial {other.number}: {_figures(other)}" for other in found.runners_up]
    if found.prices:
        lines += ["", "What the limits cost:", *(f"  {price.text}" for price in found.prices)]
    return lines


def no_pick_lines(found: NoPick) -> list[str]:
    """Say that nothing fits, and what comes nearest."""
    nearest = [f"  {miss.text} It has {_figures(miss.record)}." for miss in found.nearest]
    return [found.why, *(["Nearest:"] if nearest else []), *nearest]


def confirmation_lines(confirmation: Confirmation) -> list[str]:
    """Say how repeats under other seeds came out."""
    rows = [("pick", *_accuracy_and_costs(confirmation.picked))]
    rows += [
        (
            str(one.seed),
            *(_accuracy_and_costs(one.scores) if one.scores else (f"failed: {one.failure}", "", "")),
        )
        for one in confirmation.repeats
    ]
    lines = ["Repeats under other seeds:"]
    lines += [f"  {line}" for line in table_lines(("seed", "accuracy", "FLOPs (MACs)", "params"), rows)]
    if confirmation.mean is not None:
        images = confirmation.picked.num_images
        spread = (
            ""
            if confirmation.deviation is None
            else f", standard deviation {points(confirmation.deviation).lstrip('+')} points"
        )
        lines.append(
            f"mean {accuracy_text(confirmation.mean, images)}{spread}, on {images:,} validation images"
        )
    return [*lines, confirmation.verdict]


def plain_pick(found: Pick | NoPick) -> dict[str, Any]:
    """Return a choice, or that there is none, as JSON can hold it."""
    if isinstance(found, NoPick):
        nearest = [
            {**_plain_trial(miss.record), "excess": miss.excess, "text": miss.text} for miss in found.nearest
        ]
        return {"trial": None, "rule": found.rule, "why": found.why, "nearest": nearest}
    return {
        **_plain_trial(found.record),
        "rule": found.rule,
        "why": found.why,
        "missed": found.missed,
        "runners_up": [_plain_trial(record) for record in found.runners_up],
        "prices": [
            {
                "limit": price.limit,
                **_plain_trial(price.record),
                "accuracy_gain": price.accuracy_gain,
                "is_within_noise": price.is_within_noise,
                "next_better": None if price.next_better is None else _plain_trial(price.next_better),
                "text": price.text,
            }
            for price in found.prices
        ],
    }


def plain_test(test: TestScores) -> dict[str, Any]:
    """Return test scores with the accuracies that they are."""
    return {**test.model_dump(), "accuracy": test.accuracy, "accuracy_dense": test.accuracy_dense}


def plain_confirmation(confirmation: Confirmation) -> dict[str, Any]:
    """Return repeats with what follows from them."""
    return {
        "accuracies": list(confirmation.accuracies),
        "mean": confirmation.mean,
        "std": confirmation.deviation,
        "is_lucky": confirmation.is_lucky,
        "verdict": confirmation.verdict,
        **confirmation.model_dump(mode="json"),
    }


def _facts(record: TrialRecord, test: TestScores | None) -> list[tuple[str, str]]:
    scores = scores_of(record)
    dense = accuracy_with_interval(scores.num_correct_dense, scores.num_images)
    facts = [("accuracy", f"{_accuracy(record)} on {scores.num_images:,} validation images; dense {dense}")]
    if test is not None:
        slim, dense = (
            accuracy_with_interval(correct, test.num_images)
            for correct in (test.num_correct, test.num_correct_dense)
        )
        facts.append(("test", f"{slim} on {test.num_images:,} test images; dense {dense}"))
    facts += [
        ("FLOPs (MACs)", f"{amount(scores.macs)}, {percent(scores.macs_share)} of the dense network"),
        ("params", f"{amount(scores.params)}, {percent(scores.params_share)} of the dense network"),
    ]
    facts += [
        (label, f"{amount_of(resource, cost)}, {percent(share)} of the dense network")
        for label, resource, cost, share in (
            ("memory", "activation_memory", scores.activation_memory, scores.activation_memory_share),
            ("latency", "latency_ms", scores.latency_ms, scores.latency_share),
        )
        if cost is not None and share is not None
    ]
    if scores.explanation_similarity is not None:
        facts.append(
            ("explanations", f"{percent(scores.explanation_similarity)} overlap with the dense network's")
        )
    facts.append(("settings", ", ".join(f"{name}={_short(value)}" for name, value in record.varied.items())))
    return facts


def _table(records: Sequence[TrialRecord]) -> list[str]:
    header = ("", "trial", "accuracy", "FLOPs (MACs)", "kept", "params", "kept")
    rows = []
    for place, record in enumerate(records, start=1):
        scores = scores_of(record)
        rows.append(
            (
                str(place),
                str(record.number),
                _accuracy(record),
                amount(scores.macs),
                percent(scores.macs_share),
                amount(scores.params),
                percent(scores.params_share),
            )
        )
    return table_lines(header, rows)


def _plain_trial(record: TrialRecord) -> dict[str, Any]:
    scores = scores_of(record)
    return {
        "trial": record.number,
        "trial_key": record.trial_key,
        "accuracy": scores.accuracy,
        "accuracy_drop": scores.accuracy_drop,
        "macs": scores.macs,
        "macs_share": scores.macs_share,
        "params": scores.params,
        "params_share": scores.params_share,
        **{name: cost for name in _OPTIONAL_COSTS if (cost := getattr(scores, name)) is not None},
    }


def _accuracy(record: TrialRecord) -> str:
    scores = scores_of(record)
    return accuracy_with_interval(scores.num_correct_fine_tuned, scores.num_images)


def _figures(record: TrialRecord) -> str:
    scores = scores_of(record)
    return (
        f"{_accuracy(record)}, {amount(scores.macs)} FLOPs (MACs) ({percent(scores.macs_share)}), "
        f"{amount(scores.params)} params ({percent(scores.params_share)})"
    )


def _accuracy_and_costs(scores: NetworkScores) -> tuple[str, str, str]:
    return slim_accuracy(scores), amount(scores.macs), amount(scores.params)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
