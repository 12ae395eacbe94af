"""Rows of a table that were run with the same seeds: their spread, and their difference to a reference row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write ``mean ± standard deviation``, or the mean alone of a single value."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def paired_difference(
    by_seed: Mapping[int, float], reference_by_seed: Mapping[int, float], digits: int = 1
) -> str:
    """Write the mean difference of the seeds that both have ``± its standard error``; empty without such a seed."""
    values = _differences(by_seed, reference_by_seed)
    if not values:
        return ""
    error = f" ± {_standard_error(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):+.{digits}f}{error}"


def is_clearly_above(by_seed: Mapping[int, float], reference_by_seed: Mapping[int, float]) -> bool:
    """Tell whether the mean difference of the seeds that both have is above twice its standard error."""
    values = _differences(by_seed, reference_by_seed)
    return len(values) > 1 and statistics.mean(values) > 2 * _standard_error(values)


def _differences(by_seed: Mapping[int, float], reference_by_seed: Mapping[int, float]) -> list[float]:
    return [value - reference_by_seed[seed] for seed, value in by_seed.items() if seed in reference_by_seed]


def _standard_error(values: Sequence[float]) -> float:
    return float(statistics.stdev(values) / math.sqrt(len(values)))
