"""A table that is filled cell by cell: seed by seed, each seed for all budgets and rows before the next one begins.

A cell carries the identity of what was measured, as stage keys for instance. One of other settings, or of none that are
known, is measured again; until then it stays in the file, but not on the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import describe_machine

Cell = Mapping[str, Any]
"""Figures of one ``row``, ``macs`` and ``seed``, as JSON can hold them, with their identity and the ``machine``."""


class Place(NamedTuple):
    """Where a cell stands: the name of its row, the share of the MACs that is kept (1 in a table without), the seed."""

    row: str
    macs: float
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What is to be filled.

    Attributes:
        name: Of NAME.json and NAME.md.
        rows: All there are, in the order of the table.
        identify: Place to what makes a cell there what it is, as plain values; equal identities give equal figures.
        measure: Place to the cell's figures; None: the cell stays empty for now.
        render: The command line and the cells of its settings to the page.
        in_turn: The places still to be filled, to the same in the order they are measured in; what it leaves out is
            filled another time.
        is_long: Cells hold whole histories, so that each is one line of the file.
        unable: Rows that cannot be measured here, with the reason. ``measure`` adds to it; no more of the row is tried.
    """

    name: str
    rows: Collection[str]
    identify: Callable[[Place], Mapping[str, Any]]
    measure: Callable[[Place], Mapping[str, Any] | None]
    render: Callable[[argparse.Namespace, Sequence[Cell]], str]
    in_turn: Callable[[Sequence[Place]], Iterable[Place]] = list
    is_long: bool = False
    unable: dict[str, str] = field(default_factory=dict)


def fill_cells(args: argparse.Namespace, table: Table) -> list[Cell]:
    """Measure every cell that ``NAME.json`` does not hold yet; after each one write it and ``NAME.md``.

    Args:
        args: Its ``out`` (folder), ``seeds``, ``budgets`` and ``rows`` say which cells are wanted; its ``device`` and
            ``threads`` are written down with them.
        table: What they hold.

    Returns:
        The cells of these settings, also those that were not asked for this time.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{table.name}.json"
    cells = _read(path)
    wanted = [Place(row, macs, seed) for seed in args.seeds for macs in args.budgets for row in args.rows]
    missing = [
        place for place in wanted if place not in cells or not _is_of(table.identify(place), cells[place])
    ]
    current = {place: cell for place, cell in cells.items() if _is_current(place, cell, table)}
    if len(current) < len(cells):
        print(f"{path}: {len(cells) - len(current)} cells of other settings are not shown", flush=True)
    for place in table.in_turn(missing):
        if place.row in table.unable:
            continue
        figures = table.measure(place)
        if figures is None:
            continue
        cell = {
            **figures,
            **place._asdict(),
            **table.identify(place),
            "machine": describe_machine(args.device, args.threads),
        }
        cells[place] = current[place] = cell
        path.write_text(_spell(_sorted(cells, table), table), encoding="utf-8")
        _write_page(args, table, current)
    if current or table.unable:  # what came up after the last cell that was filled
        _write_page(args, table, current)
    return _sorted(current, table)


def _write_page(args: argparse.Namespace, table: Table, cells: Mapping[Place, Cell]) -> None:
    page = table.render(args, _sorted(cells, table))
    (args.out / f"{table.name}.md").write_text(page, encoding="utf-8")


def filled_on(cells: Iterable[Cell]) -> str:
    """Write which machines cells were filled in on."""
    return f"Filled in on {'; on '.join(sorted({cell['machine'] for cell in cells}))}."


def _spell(cells: Sequence[Cell], table: Table) -> str:
    if not table.is_long:
        return json.dumps(cells, indent=1) + "\n"
    return "[\n" + ",\n".join(json.dumps(cell) for cell in cells) + "\n]\n"


def _read(path: Path) -> dict[Place, Cell]:
    if not path.exists():
        return {}
    cells: list[Cell] = json.loads(path.read_text(encoding="utf-8"))
    return {Place(cell["row"], cell["macs"], cell["seed"]): cell for cell in cells}


def _is_current(place: Place, cell: Cell, table: Table) -> bool:
    return place.row in table.rows and _is_of(table.identify(place), cell)


def _is_of(identity: Mapping[str, Any], cell: Cell) -> bool:
    return identity.items() <= cell.items()


def _sorted(cells: Mapping[Place, Cell], table: Table) -> list[Cell]:
    """Return cells by row, seed and budget; rows that are no more come last."""
    order = {row: index for index, row in enumerate(table.rows)}
    return [
        cells[place]
        for place in sorted(
            cells, key=lambda place: (order.get(place.row, len(order)), place.row, place.seed, place.macs)
        )
    ]
