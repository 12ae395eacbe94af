"""``prunefront pick``: choose a network, say why, and remember the choice for ``export``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from reports.formats import amount, amount_of, percent
from reports.fronts import scores_of
from reports.pick_limits import PickLimits, parse_limits
from reports.picks import NoPick, Pick, pick
from reports.records import TrialRecord
from search.disk import storage_errors, write_whole
from search.front_text import accuracy_with_interval
from search.next_steps import command, open_study
from search.study_folder import StudyFolder
from search.study_records import read_study
from search.terminal import NOTHING_FITS
from search.text_tables import pair_lines

__all__ = ["PICKS_FILE", "PickRequest", "pick_network", "read_pick"]

PICKS_FILE = "picks.json"
"""In the study's folder: the last choice, which ``export STUDY picked`` reads."""
_OPTIONAL_COSTS = ("activation_memory", "latency_ms")


@dataclass(frozen=True, kw_only=True, slots=True)
class PickRequest:
    """What the user typed. ``rule``: a key of `PICK_RULES`."""

    max_flops: str | None = None
    max_params: str | None = None
    max_memory: str | None = None
    max_latency: str | None = None
    min_accuracy: str | None = None
    rule: str = "best_under"

    @property
    def limits(self) -> PickLimits:
        """The limits, read.

        Raises:
            ValueError: One of them is no number, or outside its range.
        """
        return parse_limits(
            max_macs=self.max_flops,
            max_params=self.max_params,
            max_activation_memory=self.max_memory,
            max_latency_ms=self.max_latency,
            min_accuracy=self.min_accuracy,
        )

    def to_plain(self) -> dict[str, str | None]:
        """Return the limits as typed."""
        return {
            "max_flops": self.max_flops,
            "max_params": self.max_params,
            "max_memory": self.max_memory,
            "max_latency": self.max_latency,
            "min_accuracy": self.min_accuracy,
        }


def pick_network(study: str, storage: Path, request: PickRequest, *, as_json: bool) -> None:
    """Choose a network, print it, and write the choice to the study's folder.

    Raises:
        typer.Exit: With code 1 if no network fits; the choice made before, if any, stays.
    """
    limits = request.limits
    folder = open_study(study, storage)
    found = pick(read_study(folder), request.rule, limits)
    plain = {"study": study, "rule": request.rule, "limits": request.to_plain(), **to_plain(found)}
    if isinstance(found, Pick):
        _remember(folder, plain)
        export = command(folder, "export", "picked")
        lines = pick_lines(found, export)
        plain["export_command"] = export
    else:
        lines = no_pick_lines(found)
    typer.echo(json.dumps(plain, indent=2) if as_json else "\n".join(lines))
    if isinstance(found, NoPick):
        raise typer.Exit(NOTHING_FITS)


def read_pick(folder: StudyFolder) -> int:
    """Return the number of the trial that was picked last.

    Raises:
        ValueError: Nothing was picked yet, or the file is not what `pick_network` writes.
    """
    path = folder.path / PICKS_FILE
    hint = f"; choose one first, such as with `{command(folder, 'pick', '--knee')}`"
    try:
        number = json.loads(path.read_text(encoding="utf-8"))["trial"]
    except FileNotFoundError:
        raise ValueError(f"a network of study '{folder.study}' must be picked, but none is{hint}") from None
    except (ValueError, KeyError, TypeError):
        number = None
    if not isinstance(number, int):
        raise ValueError(f"{path} must name a trial, but does not{hint}")
    return number


def to_plain(found: Pick | NoPick) -> dict[str, Any]:
    """Return a choice, or that there is none, as JSON can hold it."""
    if isinstance(found, NoPick):
        nearest = [
            {**_plain_trial(miss.record), "excess": miss.excess, "text": miss.text} for miss in found.nearest
        ]
        return {"trial": None, "why": found.why, "nearest": nearest}
    return {
        **_plain_trial(found.record),
        "why": found.why,
        "runners_up": [_plain_trial(record) for record in found.runners_up],
        "prices": [
            {"limit": price.limit, **_plain_trial(price.record), "text": price.text} for price in found.prices
        ],
    }


def pick_lines(found: Pick, export: str) -> list[str]:
    """Say which network it is, why, what comes next to it, and what its limits cost."""
    record = found.record
    scores = scores_of(record)
    dense = accuracy_with_interval(scores.num_correct_dense, scores.num_images)
    facts = [
        ("accuracy", f"{_accuracy(record)} on {scores.num_images:,} validation images; dense {dense}"),
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
    lines = [found.why, "", *pair_lines(facts)]
    if found.runners_up:
        lines += [
            "",
            "Next best:",
            *(f"  trial {other.number}: {_figures(other)}" for other in found.runners_up),
        ]
    if found.prices:
        lines += ["", "What the limits cost:", *(f"  {price.text}" for price in found.prices)]
    return [*lines, "", "Chosen on validation images; `export` looks at the test images.", f"Next: {export}"]


def no_pick_lines(found: NoPick) -> list[str]:
    """Say that nothing fits, and what comes nearest."""
    nearest = [f"  {miss.text} It has {_figures(miss.record)}." for miss in found.nearest]
    return [found.why, *(["Nearest:"] if nearest else []), *nearest]


def _remember(folder: StudyFolder, plain: dict[str, Any]) -> None:
    with storage_errors(folder.path):
        write_whole(folder.path / PICKS_FILE, json.dumps(plain, indent=2) + "\n")


def _plain_trial(record: TrialRecord) -> dict[str, Any]:
    scores = scores_of(record)
    return {
        "trial": record.number,
        "trial_key": record.trial_key,
        "accuracy": scores.accuracy,
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


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
