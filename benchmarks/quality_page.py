"""The page of `benchmarks.quality`: a table per budget, and accuracy against MACs as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.cells import Cell, filled_on
from benchmarks.paired_rows import paired_difference, spread
from benchmarks.quality_rows import REFERENCE, ROWS, Preset

__all__ = ["draw", "render"]

_INCHES = (8.0, 5.0)


def render(preset: Preset, command: str, cells: Sequence[Cell], missing: Mapping[str, str], plot: str) -> str:
    """Return the page as Markdown.

    Args:
        preset: Of the table.
        command: That fills it.
        cells: What is filled.
        missing: Rows that cannot be filled here, with the reason.
        plot: Name of the picture's file.
    """
    lines = [
        f"# {preset.title}: networks compared",
        "",
        f"    {command}",
        "",
        f"One dense network per seed ({preset.dense_epochs} epochs). Every row removes channels from it to the same",
        f"MACs, and has {preset.epochs} epochs of updates with the same recipe: rows that train before they remove",
        "have so many epochs less after it. Test accuracy of the last epoch in percent, mean ± standard deviation",
        f"over seeds; differences to `{REFERENCE}` are paired by seed, ± their standard error. Accuracies after",
        "removal are of validation images, with statistics of batch normalisation estimated anew. Latency: one image,",
        "in turns with the dense network.",
        "",
        f"![test accuracy against MACs]({plot})",
        "",
    ]
    for macs in sorted(preset.budgets, reverse=True):
        lines += [f"## MACs {macs:g}", "", *_table([cell for cell in cells if cell["macs"] == macs]), ""]
    lines += [_dense_line(cells), ""]
    lines += [f"- {row}: not run: {reason}" for row, reason in missing.items()]
    return "\n".join([*lines, *([""] if missing else []), filled_on(cells), ""])


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Draw test accuracy against MACs, a line per row, as an SVG file."""
    import matplotlib as mpl  # takes a second

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "prunefront"
    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for index, row in enumerate(ROWS):
        points = _points([cell for cell in cells if cell["row"] == row])
        if points:
            is_ours = row.startswith("ours")
            shares, means, deviations = zip(*points, strict=True)
            axes.errorbar(
                shares,
                means,
                yerr=deviations,
                label=row,
                color=colours[index % len(colours)],
                linewidth=2.0 if is_ours else 1.0,
                linestyle="-" if is_ours else "--",
                marker="o" if is_ours else "x",
                capsize=2,
            )
    dense = {cell["seed"]: 100 * cell["num_correct_dense"] / cell["num_images"] for cell in cells}
    if dense:
        axes.axhline(statistics.mean(dense.values()), color="grey", linewidth=0.8, label="dense")
    axes.set_xlabel("MACs kept")
    axes.set_ylabel("test accuracy, %")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _points(cells: Sequence[Cell]) -> list[tuple[float, float, float]]:
    """Return (share of the MACs, mean, standard deviation) per budget, ascending."""
    points = []
    for macs in sorted({cell["macs"] for cell in cells}):
        found = [cell for cell in cells if cell["macs"] == macs]
        values = [_accuracy(cell) for cell in found]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        share = statistics.mean(cell["macs_share"] for cell in found)
        points.append((share, statistics.mean(values), deviation))
    return points


def _table(cells: Sequence[Cell]) -> list[str]:
    lines = [
        "| row | seeds | after removal | fine-tuned | difference | MACs kept | params kept | latency kept | pruning s "
        "| tuning s | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(_line(row, cells) for row in ROWS if any(cell["row"] == row for cell in cells))]


def _line(row: str, cells: Sequence[Cell]) -> str:
    mine = [cell for cell in cells if cell["row"] == row]
    accuracies = {cell["seed"]: _accuracy(cell) for cell in mine}
    reference = {cell["seed"]: _accuracy(cell) for cell in cells if cell["row"] == REFERENCE}
    removal = [100 * cell["num_correct_after_removal"] / cell["num_validation"] for cell in mine]

    def mean(value: Callable[[Cell], float]) -> float:
        return statistics.mean(value(cell) for cell in mine)

    return (
        f"| {row} | {len(mine)} | {spread(removal)} | **{spread(list(accuracies.values()), 2)}** | "
        f"{paired_difference(accuracies, reference, 2) if row != REFERENCE else ''} | "
        f"{mean(lambda cell: cell['macs_share']):.3f} | "
        f"{mean(lambda cell: cell['params_share']):.3f} | "
        f"{mean(lambda cell: cell['latency_ms'] / cell['dense_latency_ms']):.2f} | "
        f"{mean(lambda cell: cell['seconds']['pruning']):.0f} | "
        f"{mean(lambda cell: cell['seconds']['fine_tuning']):.0f} | "
        f"{mean(lambda cell: cell['peak_memory_mb']):.0f} |"
    )


def _dense_line(cells: Sequence[Cell]) -> str:
    dense = {cell["seed"]: 100 * cell["num_correct_dense"] / cell["num_images"] for cell in cells}
    return f"Dense: {', '.join(f'{dense[seed]:.2f}' for seed in sorted(dense))} (by seed)."


def _accuracy(cell: Cell) -> float:
    return float(100 * cell["num_correct"] / cell["num_images"])
