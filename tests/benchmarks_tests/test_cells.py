"""Tables filled cell by cell: what is measured, what is found, and what an interruption leaves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.cells import Cell, fill_cells


def arguments(out: Path, seeds: Sequence[int] = (0, 1)) -> argparse.Namespace:
    return argparse.Namespace(out=out, seeds=list(seeds), budgets=[0.5, 0.25], rows=["a", "b"])


def count(_args: argparse.Namespace, cells: Sequence[Cell]) -> str:
    return f"{len(cells)} cells"


def test_cells_are_measured_seed_by_seed_and_written_with_their_place(tmp_path: Path) -> None:
    order: list[tuple[str, float, int]] = []

    def measure(row: str, macs: float, seed: int) -> Cell:
        order.append((row, macs, seed))
        return {"figure": len(order)}

    fill_cells(arguments(tmp_path / "new"), "table", measure, count)
    assert order == [(row, macs, seed) for seed in (0, 1) for macs in (0.5, 0.25) for row in ("a", "b")]
    cells = json.loads((tmp_path / "new" / "table.json").read_text(encoding="utf-8"))
    assert cells[2] == {"figure": 3, "row": "a", "macs": 0.25, "seed": 0}
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == "8 cells"


def test_what_an_interrupted_run_measured_is_not_measured_again(tmp_path: Path) -> None:
    measured: list[int] = []

    def stop_at_the_third(_row: str, _macs: float, _seed: int) -> Cell:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(0)
        return {}

    with pytest.raises(KeyboardInterrupt):
        fill_cells(arguments(tmp_path), "table", stop_at_the_third, count)
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "2 cells"
    rest: list[tuple[str, float, int]] = []

    def go_on(row: str, macs: float, seed: int) -> Cell:
        rest.append((row, macs, seed))
        return {}

    assert len(fill_cells(arguments(tmp_path, seeds=[0]), "table", go_on, count)) == 4
    assert rest == [("a", 0.25, 0), ("b", 0.25, 0)]
