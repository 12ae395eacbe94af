"""Pictures of a comparison on a recording: medians with a band between the quartiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cells import Cell
from benchmarks.peers.methods import PEERS
from benchmarks.replay_curves import Band, band_of_time, band_of_trials
from benchmarks.replay_page import best_peer, by_row
from benchmarks.replay_rows import COMPARED, OURS, RULES, row_name

__all__ = ["plot_all"]

_PALETTE = ("#8a8f98", "#e69f00", "#0072b2", "#009e73", "#d1495b", "#7a1f2b", "#56b4e9", "#cc79a7", "#5b4b8a")
_COLOURS = dict(zip([*COMPARED, *PEERS], _PALETTE, strict=True))
_MOST_COLUMNS = 3
_PART = 10
"""The axis of hypervolumes begins at the lowest median of this part of the way: first steps would fill it."""


def plot_all(cells: Sequence[Cell], folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``NAME-time.svg`` and ``NAME-trials.svg``: a panel for each rule of halving and one for other tools, as far
    as there are any.
    """
    rows = by_row(cells)
    paths = (folder / f"{name}-time.svg", folder / f"{name}-trials.svg")
    _plot(rows, band_of_time, "share of the virtual time", paths[0])
    _plot(rows, band_of_trials, "configurations begun", paths[1])
    return paths


def _plot(
    rows: Mapping[str, Sequence[Cell]], band_of: Callable[[Sequence[Cell]], Band], label: str, path: Path
) -> None:
    bands = {row: band_of(cells) for row, cells in rows.items()}
    panels = {f"halving: {rule}": {one: row_name(one, rule) for one in COMPARED} for rule in RULES}
    panels["other tools"] = {**{one: one for one in PEERS}, **_best_of_ours(bands)}
    panels = {title: lines for title, lines in panels.items() if any(row in bands for row in lines.values())}
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": path.stem}):
        num_columns = min(len(panels), _MOST_COLUMNS)
        num_lines = math.ceil(len(panels) / num_columns)
        figure = Figure(figsize=(4 * num_columns, 3.4 * num_lines), layout="constrained")
        grid = figure.subplots(num_lines, num_columns, sharey=True, squeeze=False)
        axes = grid.ravel()[: len(panels)]
        for unused in grid.ravel()[len(panels) :]:
            unused.remove()
        peer = best_peer(rows)
        for one, (title, lines) in zip(axes, panels.items(), strict=True):
            _draw(one, {name: bands[row] for name, row in lines.items() if row in bands}, title)
            one.set_xlabel(label)
            if peer is not None:
                end = float(bands[peer].median_G[-1])
                one.axhline(end, color="black", linewidth=0.8, linestyle=":", label=f"end of {peer}")
            one.legend(loc="lower right", fontsize=7, frameon=False)
        for first in grid[:, 0]:
            first.set_ylabel("hypervolume")
        axes[0].set_ylim(bottom=_bottom(bands.values()))
        figure.savefig(path, metadata={"Date": None})


def _draw(axes: Axes, bands: Mapping[str, Band], title: str) -> None:
    for name, band in bands.items():
        colour = _COLOURS[name]
        axes.plot(band.at_G, band.median_G, color=colour, linewidth=1.8 if name in OURS else 1.2, label=name)
        axes.fill_between(band.at_G, band.low_G, band.high_G, color=colour, alpha=0.13, linewidth=0)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _best_of_ours(bands: Mapping[str, Band]) -> dict[str, str]:
    """Return the row of ours that ends highest, by the name of its sampler."""
    rows = {row_name(one, rule): one for one in OURS for rule in RULES}
    found = [row for row in rows if row in bands]
    best = max(found, key=lambda row: float(bands[row].median_G[-1]), default=None)
    return {} if best is None else {rows[best]: best}


def _bottom(bands: Iterable[Band]) -> float:
    """Return the lowest median once everybody has had a tenth of the way."""
    return min(float(band.median_G[len(band.at_G) // _PART]) for band in bands)
