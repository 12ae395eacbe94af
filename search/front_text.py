"""The front of a study as a table in plain text."""

from __future__ import annotations

from reports.confidence import wilson_interval
from reports.dense import dense_networks
from reports.formats import accuracy_text, amount, counted, percent
from reports.fronts import StudyFront
from reports.tables import FrontRow, front_rows
from search.text_tables import table_lines

__all__ = ["accuracy_with_interval", "front_lines"]

_HEADER = ("trial", "accuracy", "95% interval", "FLOPs (MACs)", "kept", "params", "kept", "overlap")


def front_lines(front: StudyFront) -> list[str]:
    """Return the front as a table, most MACs first, below the dense network it was cut from.

    Accuracies are of validation images; ``overlap`` is the soft overlap of saliency masks with the dense network's.
    No line is longer than a terminal of 80 columns.
    """
    rows = front_rows(front)
    if not rows:
        return ["no network is on the front yet"]
    dense = [
        (
            "dense",
            *_accuracy(network.num_correct, network.num_images),
            amount(network.macs),
            percent(1),
            amount(network.params),
            percent(1),
            "",
        )
        for network in dense_networks(front.study)
    ]
    table = table_lines(_HEADER, [*dense, *(_row(row) for row in rows)])
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


def _accuracy(num_correct: int, num_images: int) -> tuple[str, str]:
    interval = wilson_interval(num_correct, num_images)
    low, high = (accuracy_text(end, num_images) for end in (interval.low, interval.high))
    return accuracy_text(num_correct / num_images, num_images), f"{low} - {high}"
