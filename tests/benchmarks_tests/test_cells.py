"""Tables filled cell by cell: what is measured, what is found, and what an interruption leaves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cells import Cell, Place, Table, fill_cells, filled_on


def arguments(
    out: Path, seeds: Sequence[int] = (0, 1), rows: Sequence[str] = ("a", "b")
) -> argparse.Namespace:
    return argparse.Namespace(
        out=out, seeds=list(seeds), budgets=[0.5, 0.25], rows=list(rows), device="cpu", threads=1
    )


def count(_args: argparse.Namespace, cells: Sequence[Cell]) -> str:
    return f"{len(cells)} cells"


def table(
    measure: Callable[[Place], Mapping[str, Any] | None], settings: str = "first", **fields: Any
) -> Table:
    return Table(
        name="table",
        rows={"a": 1, "b": 2},
        identify=lambda place: {"trial_key": f"{settings} {place.row}"},
        measure=measure,
        render=count,
        **fields,
    )


class Recorder:
    """Measures nothing, and remembers where."""

    def __init__(self) -> None:
        self.places: list[Place] = []

    def __call__(self, place: Place) -> dict[str, int]:
        self.places.append(place)
        return {"figure": len(self.places)}


def read(folder: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    return cells


def test_cells_are_measured_seed_by_seed_and_written_with_place_and_identity(tmp_path: Path) -> None:
    measure = Recorder()
    cells = fill_cells(arguments(tmp_path / "new"), table(measure))
    assert measure.places == [
        (row, macs, seed) for seed in (0, 1) for macs in (0.5, 0.25) for row in ("a", "b")
    ]
    assert read(tmp_path / "new") == cells
    assert [(cell["row"], cell["seed"], cell["macs"]) for cell in cells] == [
        (row, seed, macs) for row in ("a", "b") for seed in (0, 1) for macs in (0.25, 0.5)
    ]
    assert cells[0]["figure"] == 3
    assert cells[0]["trial_key"] == "first a"
    assert "1 thread, torch" in cells[0]["machine"]
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == "8 cells"


def test_what_an_interrupted_run_measured_is_not_measured_again(tmp_path: Path) -> None:
    measured: list[int] = []

    def stop_at_the_third(_place: Place) -> dict[str, Any]:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(0)
        return {}

    with pytest.raises(KeyboardInterrupt):
        fill_cells(arguments(tmp_path), table(stop_at_the_third))
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "2 cells"
    go_on = Recorder()
    assert len(fill_cells(arguments(tmp_path, seeds=[0]), table(go_on))) == 4
    assert go_on.places == [("a", 0.25, 0), ("b", 0.25, 0)]


def test_cells_of_other_settings_are_measured_again_and_shown_only_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_cells(arguments(tmp_path), table(Recorder(), "first"))
    again = Recorder()
    cells = fill_cells(arguments(tmp_path, seeds=[0]), table(again, "second"))
    assert len(again.places) == len(cells) == 4
    assert {cell["trial_key"] for cell in cells} == {"second a", "second b"}
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "4 cells"
    assert len(read(tmp_path)) == 8  # what was measured before is not lost
    assert "8 cells of other settings are not shown" in capsys.readouterr().out


def test_cells_of_these_settings_are_shown_though_not_asked_for(tmp_path: Path) -> None:
    fill_cells(arguments(tmp_path, seeds=[0]), table(Recorder()))
    assert len(fill_cells(arguments(tmp_path, seeds=[1], rows=["b"]), table(Recorder()))) == 6


def test_cells_without_identity_or_of_rows_that_are_no_more_can_be_read(tmp_path: Path) -> None:
    old = [{"row": row, "macs": 0.5, "seed": 0, "figure": 7} for row in ("a", "gone")]
    (tmp_path / "table.json").write_text(json.dumps(old), encoding="utf-8")
    again = Recorder()
    assert len(fill_cells(arguments(tmp_path, seeds=[0]), table(again))) == 4
    assert Place("a", 0.5, 0) in again.places
    assert read(tmp_path)[-1] == old[-1]


def test_cells_are_measured_in_the_order_that_the_table_says(tmp_path: Path) -> None:
    measure = Recorder()
    fill_cells(arguments(tmp_path, seeds=[0]), table(measure, in_turn=lambda places: reversed(list(places))))
    assert measure.places == [("b", 0.25, 0), ("a", 0.25, 0), ("b", 0.5, 0), ("a", 0.5, 0)]


def test_a_row_that_cannot_be_measured_is_tried_once_and_told_of_on_the_page(tmp_path: Path) -> None:
    unable: dict[str, str] = {}
    tried: list[Place] = []

    def measure(place: Place) -> dict[str, int] | None:
        tried.append(place)
        if place.row == "b":
            unable["b"] = "there is no wheel"
            return None
        return {"figure": 1}

    def page(_args: argparse.Namespace, cells: Sequence[Cell]) -> str:
        return f"{len(cells)} cells; unable: {unable}"

    in_turn = sorted  # row "b" comes after the last cell that is filled
    one = replace(table(measure, in_turn=in_turn, unable=unable), render=page)
    assert len(fill_cells(arguments(tmp_path), one)) == 4
    assert [place.row for place in tried] == ["a"] * 4 + ["b"]
    assert (tmp_path / "table.md").read_text() == "4 cells; unable: {'b': 'there is no wheel'}"


def test_every_machine_is_named_once() -> None:
    assert filled_on([{"machine": "B"}, {"machine": "A"}, {"machine": "B"}]) == "Filled in on A; on B."
