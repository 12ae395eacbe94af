"""The page of `benchmarks.search_quality`: what each search's front holds, and how it grew."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.cells import Cell, filled_on
from benchmarks.paired_rows import paired_difference, spread
from benchmarks.quality_rows import Preset
from benchmarks.search_quality_rows import REFERENCE, ROWS
from reports.fronts import GrowingFront, volume_of

__all__ = ["FinalFigures", "draw", "final_figures", "growth", "render"]

_SHARES = (0.5, 0.25)
_COLOURS = ("#d1495b", "#7a1f2b", "#e69f00", "#8a8f98", "#0072b2", "#009e73")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalFigures:
    """Of a finished search.

    ``volume``: hypervolume of the front by validation images, measured on test images. ``best``: by share of the MACs,
    test accuracy of the network within it that is best on validation images; None without one.
    """

    volume: float
    size: int
    best: Mapping[float, float | None]


def final_figures(cell: Cell) -> FinalFigures:
    """Choose networks by validation images, and score them by test images."""
    networks = cell["networks"]
    rows = _front([_losses(one, "validation") for one in networks])
    members = [
        one for one in networks if any(np.array_equal(_losses(one, "validation"), row) for row in rows)
    ]
    best = {}
    for share in _SHARES:
        within = [one for one in networks if one["macs_share"] <= share]
        best[share] = max(within, key=lambda one: one["validation"])["test"] if within else None
    return FinalFigures(
        volume=volume_of(_front([_losses(one, "test") for one in members])), size=len(members), best=best
    )


def growth(cell: Cell) -> tuple[list[float], list[float]]:
    """Return the epochs at which networks were finished, and the hypervolume on validation images from then on."""
    front = GrowingFront(3)
    epochs, volumes = [], []
    for network in sorted(cell["networks"], key=lambda one: one["epochs"]):
        front.add(_losses(network, "validation"))
        epochs.append(network["epochs"])
        volumes.append(volume_of(front.rows))
    return epochs, volumes


def render(preset: Preset, command: str, cells: Sequence[Cell], missing: Mapping[str, str], plot: str) -> str:
    """Return the page as Markdown.

    Args:
        preset: The work.
        command: That fills the table.
        cells: What is filled.
        missing: Rows that cannot be filled here, with the reason.
        plot: Name of the picture's file.
    """
    epochs = cells[0]["epochs"] if cells else 0
    lines = [
        f"# {preset.title}: searches compared",
        "",
        f"    {command}",
        "",
        f"One dense network per seed ({preset.dense_epochs} epochs); then every search may train for {epochs} epochs",
        "in all, the mask predictor's, the selectors' and the gates' among them, and stopped trials' as far as they",
        "came. Networks are chosen by validation images. Hypervolume of accuracy, MACs and parameters: the share of",
        "the box between accuracy 0 at the dense network's costs and accuracy 1 at no cost. It, and all accuracies",
        f"(percent), are of test images; mean ± standard deviation over seeds; differences to `{REFERENCE}` are paired",
        "by seed, ± their standard error. The picture has validation images.",
        "",
        f"![hypervolume by epochs]({plot})",
        "",
        *_table(cells),
        "",
        *(f"- {row}: not run: {reason}" for row, reason in missing.items()),
        *([""] if missing else []),
        filled_on(cells),
        "",
    ]
    return "\n".join(lines)


def _table(cells: Sequence[Cell]) -> list[str]:
    best = " | ".join(f"best within {share:.0%} of the MACs" for share in _SHARES)
    lines = [
        f"| search | seeds | trials | networks | on the front | hypervolume | difference | {best} | seconds |",
        "|---" * (8 + len(_SHARES)) + "|",
    ]
    figures = {(cell["row"], cell["seed"]): final_figures(cell) for cell in cells}
    reference = {seed: one.volume for (row, seed), one in figures.items() if row == REFERENCE}
    for row in ROWS:
        mine = [cell for cell in cells if cell["row"] == row]
        if not mine:
            continue
        finals = {cell["seed"]: figures[row, cell["seed"]] for cell in mine}
        volumes = {seed: one.volume for seed, one in finals.items()}
        counts = [
            _mean(cell["num_trials"] for cell in mine),
            _mean(len(cell["networks"]) for cell in mine),
            _mean(one.size for one in finals.values()),
        ]
        bests = [_spread_of_known([one.best[share] for one in finals.values()]) for share in _SHARES]
        difference = paired_difference(volumes, reference, 4) if row != REFERENCE else ""
        seconds = _mean(cell["seconds"] for cell in mine)
        cols = [row, str(len(mine)), *counts, f"**{spread(list(volumes.values()), 4)}**", difference, *bests]
        lines.append(f"| {' | '.join([*cols, seconds])} |")
    return lines


def _mean(values: Iterable[float]) -> str:
    return f"{statistics.mean(values):.0f}"


def _spread_of_known(accuracies: Sequence[float | None]) -> str:
    known = [100 * one for one in accuracies if one is not None]
    return spread(known, 2) if known else "none"


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Draw the hypervolume against the epochs spent, a line per seed, as an SVG file."""
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": path.stem}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        for row, colour in zip(ROWS, _COLOURS, strict=True):
            for place, cell in enumerate(cell for cell in cells if cell["row"] == row):
                epochs, volumes = growth(cell)
                axes.step(
                    [*epochs, cell["epochs"]],
                    [*volumes, *volumes[-1:]],
                    where="post",
                    color=colour,
                    linewidth=1.6 if row.startswith("ours") else 1.0,
                    label=row if place == 0 else None,
                )
        axes.set_xlabel("epochs of training spent")
        axes.set_ylabel("hypervolume, validation images")
        axes.spines[["top", "right"]].set_visible(False)
        if cells:
            axes.legend(loc="lower right", fontsize=7, frameon=False)
        figure.savefig(path, metadata={"Date": None})


def _losses(network: Mapping[str, Any], images: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([1 - network[images], network["macs_share"], network["params_share"]])


def _front(rows: Iterable[np.ndarray[Any, np.dtype[np.float64]]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    front = GrowingFront(3)
    for row in rows:
        front.add(row)
    return front.rows
