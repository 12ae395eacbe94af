"""Hypervolume as a function of virtual time or of the configurations begun, over the seeds of one row.

Shape suffixes used in this file:
    S  seeds
    G  points of a grid
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import Cell

__all__ = ["Band", "NUM_TIMES", "band_of_time", "band_of_trials", "time_until"]

Floats = NDArray[np.float64]

NUM_TIMES = 400
"""Points of time, evenly spread over a search, the end included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Median and quartiles over seeds at the points of a grid; ``at_G`` ascends."""

    at_G: Floats
    low_G: Floats
    median_G: Floats
    high_G: Floats


def band_of_time(cells: Sequence[Cell]) -> Band:
    """Return the hypervolume by the share of the virtual time that has passed, in (0, 1]."""
    shares_G = np.arange(1, NUM_TIMES + 1) / NUM_TIMES
    return _band(shares_G, [_volumes(cell, 1, shares_G * cell["seconds"]) for cell in cells])


def band_of_trials(cells: Sequence[Cell]) -> Band:
    """Return the hypervolume by how many configurations had been begun, as far as all seeds go."""
    counts_G = np.arange(1, 1 + min(cell["num_configurations"] for cell in cells), dtype=np.float64)
    return _band(counts_G, [_volumes(cell, 0, counts_G) for cell in cells])


def time_until(band: Band, volume: float) -> float | None:
    """Return where on its grid a median first reaches a hypervolume; None if it never does."""
    reached = np.flatnonzero(band.median_G >= volume)
    return float(band.at_G[reached[0]]) if len(reached) else None


def _volumes(cell: Cell, column: int, at_G: Floats) -> Floats:
    """Return the hypervolume at the points of a grid of one column of the steps."""
    places = np.array([step[column] for step in cell["steps"]], dtype=np.float64)
    volumes = np.array([0.0, *(step[2] for step in cell["steps"])])
    found_G: Floats = volumes[np.searchsorted(places, at_G, side="right")]
    return found_G


def _band(at_G: Floats, volumes: Sequence[Floats]) -> Band:
    low_G, median_G, high_G = np.quantile(np.array(volumes), [0.25, 0.5, 0.75], axis=0)
    return Band(at_G=at_G, low_G=low_G, median_G=median_G, high_G=high_G)
