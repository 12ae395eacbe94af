"""Tables in plain text: the same in a terminal, a log and a file."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["pair_lines", "table_lines"]

_GAP = "  "


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the cells of each column: words to the left, columns of figures to the right.

    A column counts as figures if each of its cells is empty or begins with a digit or sign.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    are_figures = [all(_is_figure(cell) for cell in column[1:]) for column in columns]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if is_figure else cell.ljust(width)
            for cell, width, is_figure in zip(cells, widths, are_figures, strict=True)
        ]
        return _GAP.join(aligned).rstrip()

    return [line(header), *(line(row) for row in rows)]


def pair_lines(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Put names before values, one pair per line; a name that is empty continues the one above."""
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"{name:<{width}}{_GAP}{value}".rstrip() for name, value in pairs]


def _is_figure(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell[0] in "+-"
