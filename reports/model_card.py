"""The card of an exported network: what it is, how good, how large, how to load it, and what is not known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.confidence import wilson_interval
from reports.formats import accuracy_text, amount, amount_of, clock_time, counted, percent, points
from reports.fronts import scores_of
from reports.latency_records import LatencyMeasurement
from reports.records import TestScores, TrialRecord

__all__ = ["CardData", "CardFile", "Int8Card", "ModelCard", "render_model_card"]

_TEMPLATE = "model_card.md.j2"


@dataclass(frozen=True, kw_only=True, slots=True)
class CardData:
    """The data set: its name, how many images the splits have, and (channels, height, width) of one."""

    name: str
    num_train: int
    num_validation: int
    num_test: int
    num_classes: int
    input_shape: tuple[int, int, int]
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFile:
    """A file that holds the network. ``check``: what was found by comparing it with the network in torch.
    ``lines``: Python that loads it.
    """

    name: str
    form: str
    num_bytes: int
    check: str
    lines: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Card:
    """The int8 file's correct answers, and how many of its answers are the network's own, right or wrong."""

    calibration_images: int
    num_correct_validation: int
    num_correct_test: int
    num_same_test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """All that a card says.

    ``folded``: how many batch normalisations are part of other layers. ``left_out``: files above ``target_bytes``, with
    their sizes.
    """

    record: TrialRecord
    version: str
    data: CardData
    test: TestScores
    files: Sequence[CardFile]
    input_lines: str
    folded: int = 0
    int8: Int8Card | None = None
    latency: LatencyMeasurement | None = None
    target_bytes: int | None = None
    left_out: Sequence[tuple[str, int]] = ()


def render_model_card(card: ModelCard) -> str:
    """Write the card as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 # Markdown, not HTML
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(
        card=card,
        record=card.record,
        scores=scores_of(card.record),
        architecture=card.record.config["architecture"],
        accuracies=_accuracies(card),
        costs=_costs(card),
        latencies=_latencies(card),
        drop=points((card.test.num_correct - card.test.num_correct_dense) / card.test.num_images),
        percent=percent,
        clock_time=clock_time,
        counted=counted,
    )


def _accuracies(card: ModelCard) -> list[tuple[str, str, str]]:
    """Return a row per network: its name, and its accuracy with its interval on validation and on test images."""
    scores, test = scores_of(card.record), card.test
    rows = [
        ("this network", scores.num_correct_fine_tuned, test.num_correct),
        ("dense network", scores.num_correct_dense, test.num_correct_dense),
    ]
    if card.int8 is not None:
        rows.insert(1, ("this network in int8", card.int8.num_correct_validation, card.int8.num_correct_test))
    return [
        (name, _with_interval(validation, scores.num_images), _with_interval(on_test, test.num_images))
        for name, validation, on_test in rows
    ]


def _costs(card: ModelCard) -> list[tuple[str, str, str, str]]:
    scores = scores_of(card.record)
    rows = [
        (
            "FLOPs (MACs of one image)",
            amount(scores.macs),
            amount(scores.dense_macs),
            scores.macs_share,
        ),
        ("params", amount(scores.params), amount(scores.dense_params), scores.params_share),
    ]
    for label, resource in (("activation memory", "activation_memory"), ("latency by table", "latency_ms")):
        slim, dense = getattr(scores, resource), getattr(scores, f"dense_{resource}")
        if slim is not None and dense is not None:
            rows.append((label, amount_of(resource, slim), amount_of(resource, dense), slim / dense))
    return [(label, slim, dense, percent(share)) for label, slim, dense, share in rows]


def _latencies(card: ModelCard) -> list[tuple[str, str, str, str]]:
    """Return a row per runtime: this network, the dense one, and the share; as median (90th percentile)."""
    measured = card.latency.of_trial(card.record.number) if card.latency is not None else None
    if card.latency is None or measured is None:
        return []
    dense = card.latency.dense_of(measured)
    rows = []
    for runtime, times in measured.times.items():
        beside: Any = dense.times.get(runtime) if dense is not None else None
        share = percent(times.median_ms / beside.median_ms) if beside is not None else ""
        rows.append((runtime, _times(times), _times(beside) if beside is not None else "", share))
    return rows


def _times(times: Any) -> str:
    return f"{times.median_ms:.3g} ms ({times.p90_ms:.3g} ms)"


def _with_interval(num_correct: int, num_images: int) -> str:
    interval = wilson_interval(num_correct, num_images)
    low, high = (accuracy_text(end, num_images) for end in (interval.low, interval.high))
    return f"{accuracy_text(num_correct / num_images, num_images)} ({low} - {high})"
