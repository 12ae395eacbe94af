"""Rows of a table that were run with the same seeds: their spread, and their difference to a reference row."""

from __future__ import annotations

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
    values = [value - reference_by_seed[seed] for seed, value in by_seed.items() if seed in reference_by_seed]
    if not values:
        return ""
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):+.{digits}f}{error}"
