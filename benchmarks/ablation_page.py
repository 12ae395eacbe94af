"""The page of `benchmarks.ablation`: one table per budget, and whether the shipped default wins."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.ablation_rows import REFERENCE, RIVAL, ROWS, SHIPPED, gate_epochs
from benchmarks.cells import Cell, filled_on
from benchmarks.paired_rows import is_clearly_above, paired_difference, spread

__all__ = ["render"]

_LEAST_SEEDS = 3
_COLUMNS = (
    *("row", "seeds", "after removal", "after refit", "fine-tuned"),
    *("to L1", "to group L2", "params kept", "explanations"),
)


def render(args: argparse.Namespace, cells: Sequence[Cell]) -> str:
    """Write one table per budget and the command that made them."""
    epochs = f"{args.epochs} epochs" if args.epochs > 1 else "1 epoch"
    lines = [
        "# What each part buys",
        "",
        f"{args.architecture} on {args.images} images of CIFAR-10, {100 * args.validation_share:g} % of them for",
        f"validation. After the dense training, every row updates weights for {epochs}, joint rows {gate_epochs(args)}",
        "of them while gates learn if they do not say otherwise. Validation accuracy in percent, mean ± standard",
        f"deviation over seeds; differences to `{REFERENCE}` and to `{RIVAL}` are paired by seed (± their",
        "standard error). *After refit*: with the next layers' weights fitted to what is left, where a row does so.",
        "*Explanations*: overlap with the dense network's masks after fine-tuning.",
        "",
        f"    python -m benchmarks.ablation {args.command}",
        "",
    ]
    for macs in args.budgets:
        here = [cell for cell in cells if cell["macs"] == macs]
        lines += [
            f"## MACs {macs:g}",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            f"|{'---|' * len(_COLUMNS)}",
            *(_line(row, here) for row in ROWS if any(cell["row"] == row for cell in here)),
            "",
            _verdict(here),
            "",
        ]
    dense = {cell["seed"]: 100 * cell["num_correct_dense"] / cell["num_images"] for cell in cells}
    lines += [
        f"Dense: {', '.join(f'{value:.1f}' for value in dense.values())} (by seed). {filled_on(cells)}",
        "",
    ]
    return "\n".join(lines)


def _line(row: str, cells: Sequence[Cell]) -> str:
    mine = [cell for cell in cells if cell["row"] == row]
    accuracies = _accuracies(row, cells)
    overlaps = [one for cell in mine if (one := cell["explanation_similarity"]) is not None]
    figures = [
        row,
        f"{len(mine)}",
        spread(_percentages(mine, "num_correct_after_removal")),
        spread(refits) if (refits := _percentages(mine, "num_correct_after_reconstruction")) else "",
        f"**{spread(list(accuracies.values()))}**",
        *(
            paired_difference(accuracies, _accuracies(other, cells)) if row != other else ""
            for other in (REFERENCE, RIVAL)
        ),
        f"{statistics.mean(cell['params_share'] for cell in mine):.3f}",
        f"{statistics.mean(overlaps):.3f}" if overlaps else "",
    ]
    return f"| {' | '.join(figures)} |"


def _verdict(cells: Sequence[Cell]) -> str:
    """Say whether the shipped default beats both rivals by more than the noise: twice the standard error."""
    ours, others = _accuracies(SHIPPED, cells), (REFERENCE, RIVAL)
    shared = set(ours).intersection(*(_accuracies(other, cells) for other in others))
    if len(shared) < _LEAST_SEEDS:
        return (
            f"Whether the shipped default, `{SHIPPED}`, beats `{REFERENCE}` and `{RIVAL}` is open: "
            f"{len(shared)} of {_LEAST_SEEDS} seeds have all three."
        )
    beaten = [other for other in others if is_clearly_above(ours, _accuracies(other, cells))]
    unbeaten = [other for other in others if other not in beaten]
    said = [
        *(f"beats `{other}` by more than twice the standard error" for other in beaten),
        *(f"does not beat `{other}` by that much" for other in unbeaten),
    ]
    return f"The shipped default, `{SHIPPED}`, {' and '.join(said)}."


def _accuracies(row: str, cells: Sequence[Cell]) -> dict[int, float]:
    return {
        cell["seed"]: _percentages([cell], "num_correct_fine_tuned")[0]
        for cell in cells
        if cell["row"] == row
    }


def _percentages(cells: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [100 * cell[name] / cell["num_images"] for cell in cells if cell.get(name) is not None]
