"""Numbers as people read them, written as they can be typed back: ``40%``, ``20.3M``."""

from __future__ import annotations

from datetime import UTC, datetime

from reports.scores import NetworkScores

__all__ = [
    "accuracy_text",
    "amount",
    "amount_of",
    "clock_time",
    "counted",
    "duration",
    "percent",
    "points",
    "slim_accuracy",
]

_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "K"))


def amount(value: float) -> str:
    """Write a count with three significant digits and a unit: ``20.3M``, ``272K``, ``812``."""
    for size, unit in _STEPS:
        scaled = value / size
        if abs(scaled) >= 0.9995:
            decimals = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{decimals}f}{unit}"
    return f"{value:.0f}"


def amount_of(resource: str, value: float) -> str:
    """Write what a network costs of a resource with its unit: ``20.3M``, ``1.20MB`` of memory, ``0.812 ms``."""
    if resource == "latency_ms":
        return f"{value:.3g} ms"
    return f"{amount(value)}{'B' if resource == 'activation_memory' else ''}"


def percent(share: float, decimals: int = 1) -> str:
    """Write a share as a percentage: 0.4213 is ``42.1%``."""
    return f"{100 * share:.{decimals}f}%"


def accuracy_text(accuracy: float, num_images: int) -> str:
    """Write an accuracy with no more decimals than the number of images supports."""
    return percent(accuracy, 2 if num_images >= 2000 else 1)


def slim_accuracy(scores: NetworkScores) -> str:
    """Write the validation accuracy of a fine-tuned slim network."""
    return accuracy_text(scores.accuracy, scores.num_images)


def points(change: float, decimals: int = 2) -> str:
    """Write a difference of accuracies in percentage points, with its sign: ``-0.42``."""
    text = f"{100 * change:+.{decimals}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 network``, ``1,200 networks``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time span with its two largest units: ``8.2 s``, ``4 min 10 s``, ``2 h 5 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def clock_time(unix_seconds: float) -> str:
    """Write a moment in UTC to the minute."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
