"""The page of the fidelity benchmark: tables of cells, and what they say."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from benchmarks.ablation_rows import REFERENCE, ROWS
from benchmarks.cells import Cell, filled_on
from benchmarks.paired_rows import paired_difference, spread

KINDS = {
    "mask": "the selector's mask",
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "integrated gradients",
}
"""Kinds of maps, as they are shown."""
_DIGITS = 3


def render(args: argparse.Namespace, cells: Sequence[Cell]) -> str:
    """Write the tables of every budget and the command that made them."""
    shown = [cell for cell in cells if cell["num_images"] == args.measured]
    lines = [
        "# Are explanations kept?",
        "",
        f"{args.architecture} on {args.images} images of CIFAR-10; explanations of {args.measured} validation images,",
        "each for the class that the dense network predicts, after fine-tuning. Mean ± standard deviation over seeds;",
        f"differences to `{REFERENCE}` are paired by seed (± their standard error). Chance: the explanation of another",
        "image in place of this one's.",
        "",
        f"    python -m benchmarks.fidelity {args.command}",
        "",
    ]
    for macs in args.budgets:
        found = [cell for cell in shown if cell["macs"] == macs]
        if found:
            lines += [f"## MACs {macs:g}", "", *_kept(found), *_mask_seen(found)]
            for kind in KINDS:
                lines += _curves(found, kind)
    return "\n".join([*lines, _machine(shown), ""])


def _kept(cells: Sequence[Cell]) -> list[str]:
    """Write how far the slim network's explanations agree with the dense network's."""
    measures: dict[str, Callable[[Cell], Mapping[str, float]]] = {
        "overlap of masks": lambda cell: cell["fidelity"]["mask_overlap"],
        "rank correlation, Grad-CAM": lambda cell: cell["fidelity"]["rank_correlation"]["grad_cam"],
        "rank correlation, integrated gradients": lambda cell: cell["fidelity"]["rank_correlation"][
            "integrated_gradients"
        ],
    }
    lines = [
        "### Slim against dense",
        "",
        "1 is a network's agreement with itself.",
        "",
        _table_head(
            "row",
            "seeds",
            "accuracy",
            "same class",
            *(header for name in measures for header in (name, "difference")),
        ),
    ]
    for row, found in _by_row(cells):
        columns = [
            str(len(found)),
            spread([100 * cell["accuracy"] for cell in found]),
            spread([cell["fidelity"]["same_class"] for cell in found], _DIGITS),
        ]
        for measure in measures.values():
            by_seed = {cell["seed"]: measure(cell)["value"] for cell in found}
            reference = {cell["seed"]: measure(cell)["value"] for cell in cells if cell["row"] == REFERENCE}
            difference = "" if row == REFERENCE else paired_difference(by_seed, reference, _DIGITS)
            columns += [f"**{spread(list(by_seed.values()), _DIGITS)}**", difference]
        lines.append(_line(row, *columns))
    chances = [
        column
        for measure in measures.values()
        for column in (spread([measure(cell)["chance"] for cell in cells], _DIGITS), "")
    ]
    return [*lines, _line("chance, all rows", str(len(cells)), "", "", *chances), ""]


def _mask_seen(cells: Sequence[Cell]) -> list[str]:
    """Write whether the selector's mask lies where the network itself looks."""
    attributions = [kind for kind in KINDS if kind != "mask"]

    def columns(found: Sequence[Cell], network: str) -> list[str]:
        return [
            spread([cell["fidelity"]["mask_seen"][kind][network][level] for cell in found], _DIGITS)
            for kind in attributions
            for level in ("value", "chance")
        ]

    return [
        "### Does the selector see what the network uses?",
        "",
        "Rank correlation of the selector's mask of a network with that network's own attribution.",
        "",
        _table_head("network", *(header for kind in attributions for header in (KINDS[kind], "chance"))),
        _line("dense", *columns(_one_per_seed(cells), "dense")),
        *(_line(row, *columns(found, "slim")) for row, found in _by_row(cells)),
        "",
    ]


def _curves(cells: Sequence[Cell], kind: str) -> list[str]:
    """Write the areas under the curves of one kind of map."""
    lines = [
        f"### Deletion and insertion by {KINDS[kind]}",
        "",
        "Area under the probability of the class: low is good for deletion, high for insertion. Judged by the",
        "network of the row; in the order of its own map, of the dense network's map, and of its own of another image.",
        "",
        _table_head(
            "network",
            *(
                f"{curve}, {whose}"
                for curve in ("deletion", "insertion")
                for whose in ("own", "dense's", "chance")
            ),
        ),
    ]

    def areas(found: Sequence[Cell], curve: str, whose: str) -> str:
        return spread([cell["fidelity"]["curves"][kind][whose][curve] for cell in found], _DIGITS)

    dense = _one_per_seed(cells)
    lines.append(
        _line("dense", areas(dense, "deletion", "dense"), "", "", areas(dense, "insertion", "dense"), "", "")
    )
    for row, found in _by_row(cells):
        lines.append(
            _line(
                row,
                *(
                    areas(found, curve, whose)
                    for curve in ("deletion", "insertion")
                    for whose in ("slim", "dense_on_slim", "chance")
                ),
            )
        )
    return [*lines, ""]


def _by_row(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    rows = [(row, [cell for cell in cells if cell["row"] == row]) for row in ROWS]
    return [(row, found) for row, found in rows if found]


def _one_per_seed(cells: Sequence[Cell]) -> list[Cell]:
    return list({cell["seed"]: cell for cell in cells}.values())


def _table_head(*names: str) -> str:
    return f"{_line(*names)}\n{'|---' * len(names)}|"


def _line(*columns: str) -> str:
    return f"| {' | '.join(columns)} |"


def _machine(cells: Sequence[Cell]) -> str:
    dense = {cell["seed"]: f"{100 * cell['dense_accuracy']:.1f}" for cell in cells}
    return f"Dense: {', '.join(dense.values())} (by seed). {filled_on(cells)}"
