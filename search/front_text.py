"""The front of a study as a table in plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.confidence import wilson_interval
from reports.dense import dense_networks
from reports.formats import accuracy_text, amount, amount_of, counted, percent
from reports.front_rows import FrontRow, front_rows
from reports.fronts import StudyFront
from search.text_tables import table_lines

__all__ = ["accuracy_with_interval", "front_lines", "rung_text"]

_OPTIONAL = {"activation_memory": "memory", "latency_ms": "latency"}
"""Columns that are shown where a network of the front has them."""
_HEADER = ("trial", "accuracy", "95% interval", "FLOPs (MACs)", "kept", "params", "kept", "overlap")


def front_lines(front: StudyFront) -> list[str]:
    """Return the front as a table, most MACs first, below the dense network it was cut from.

    Accuracies are of validation images; ``overlap`` is the soft overlap of saliency masks with the dense network's.
    No line is longer than a terminal of 80 columns, unless memory and latency are shown.
    """
    rows = front_rows(front)
    if not rows:
        return ["no network is on the front yet"]
    optional = [name for name in _OPTIONAL if any(getattr(row, name) is not None for row in rows)]
    dense = [
        (
            "dense",
            *_accuracy(network.num_correct, network.num_images),
            amount(network.macs),
            percent(1),
            amount(network.params),
            percent(1),
            "",
            *([""] * len(optional)),
        )
        for network in dense_networks(front.study)
    ]
    header = (*_HEADER, *(_OPTIONAL[name] for name in optional))
    table = table_lines(header, [*dense, *((*_row(row), *_costs(row, optional)) for row in rows)])
    images = counted(rows[0].num_images, "validation image")
    has_overlap = any(row.explanation_similarity is not None for row in rows)
    return [
        *table,
        f"{counted(len(rows), 'network')} on the front; accuracy on {images}",
        *(["overlap: of the explanations with those of the dense network"] if has_overlap else []),
    ]


def accuracy_with_interval(num_correct: int, num_images: int) -> str:
    """Write an accuracy with its 95 % interval: ``92.1% (90.3% - 93.6%)``."""
    accuracy, interval = _accuracy(num_correct, num_images)
    return f"{accuracy} ({interval})"


def rung_text(num_reached: Mapping[int, int]) -> str:
    """Say how many trials reached which rung: ``rungs: 12 trials at epoch 1, 4 at epoch 3``."""
    parts = [
        f"{counted(number, 'trial') if index == 0 else number} at epoch {epochs}"
        for index, (epochs, number) in enumerate(num_reached.items())
    ]
    return f"rungs: {', '.join(parts)}"


def _row(row: FrontRow) -> tuple[str, ...]:
    similarity = row.explanation_similarity
    return (
        str(row.number),
        *_accuracy(round(row.accuracy * row.num_images), row.num_images),
        amount(row.macs),
        percent(row.macs_share),
        amount(row.params),
        percent(row.params_share),
        "" if similarity is None else percent(similarity),
    )


def _costs(row: FrontRow, names: Sequence[str]) -> list[str]:
    costs = [getattr(row, name) for name in names]
    return ["" if cost is None else amount_of(name, cost) for name, cost in zip(names, costs, strict=True)]


def _accuracy(num_correct: int, num_images: int) -> tuple[str, str]:
    interval = wilson_interval(num_correct, num_images)
    low, high = (accuracy_text(end, num_images) for end in (interval.low, interval.high))
    return accuracy_text(num_correct / num_images, num_images), f"{low} - {high}"
