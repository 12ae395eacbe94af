"""A table that is filled cell by cell: seed by seed, each seed for all budgets and rows before the next one begins."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Cell = Mapping[str, Any]
"""Figures of one ``row``, ``macs`` and ``seed``, as JSON can hold them."""


def fill_cells(
    args: argparse.Namespace,
    name: str,
    measure: Callable[[str, float, int], Cell],
    render: Callable[[argparse.Namespace, Sequence[Cell]], str],
) -> list[Cell]:
    """Measure every cell that ``NAME.json`` does not hold yet; after each one write it and ``NAME.md``.

    Args:
        args: Its ``out`` (folder), ``seeds``, ``budgets`` and ``rows``.
        name: Of both files.
        measure: Row, budget and seed to the cell's figures.
        render: The command line and all cells to the page.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{name}.json"
    cells: list[Cell] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    known = {(cell["row"], cell["macs"], cell["seed"]) for cell in cells}
    wanted = [(row, macs, seed) for seed in args.seeds for macs in args.budgets for row in args.rows]
    for row, macs, seed in wanted:
        if (row, macs, seed) in known:
            continue
        cells.append({**measure(row, macs, seed), "row": row, "macs": macs, "seed": seed})
        path.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
        (args.out / f"{name}.md").write_text(render(args, cells), encoding="utf-8")
    return cells
