"""Figures are measured again when the code behind them changes, and not when a comment does."""

from pathlib import Path

import pytest

from benchmarks.code_digests import digest_parts, essence_of, parts_of_file

SOURCE = '''"""A module."""

import math

SIDES = 4  # of a square
"""How many."""

#: Not for squares.
OTHER = SIDES + 1


class Kept:
    """Holds."""

    corner: int = SIDES
    """One of them."""


@staticmethod
def area(side: float) -> float:
    """Say how large."""
    return perimeter(side) * side / SIDES  # "not" a string


def perimeter(side: float) -> float:
    return SIDES * side


def circle(radius: float) -> str:
    return f"{math.pi * radius**2} # no comment"
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shapes.py"
    path.write_text(SOURCE)
    return path


def changed(file: Path, old: str, new: str) -> Path:
    assert old in SOURCE
    path = file.with_name(f"changed_{len(list(file.parent.iterdir()))}.py")
    path.write_text(SOURCE.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # of a square", ""),
        ('"""Say how large."""', '"""Say it,\n\n    at length.\n    """'),
        ('"""A module."""\n', ""),
        ("#: Not for squares.\n", "\n\n"),
    ],
)
def test_what_only_readers_see_changes_nothing(file: Path, old: str, new: str) -> None:
    assert essence_of(changed(file, old, new)) == essence_of(file)


@pytest.mark.parametrize(
    ("old", "new"), [("SIDES * side\n", "SIDES + side\n"), ("# no comment", "# none"), ("= 4", "= 3")]
)
def test_what_is_done_changes_it(file: Path, old: str, new: str) -> None:
    assert essence_of(changed(file, old, new)) != essence_of(file)


def test_a_definition_comes_with_all_it_uses(file: Path) -> None:
    found = parts_of_file(file, ["area"])
    assert "@staticmethod\ndef area" in found
    assert "def perimeter" in found
    assert "SIDES = 4" in found
    assert "circle" not in found
    assert "OTHER" not in found
    assert parts_of_file(changed(file, "radius**2", "radius**3"), ["area"]) == found
    assert parts_of_file(changed(file, "SIDES * side\n", "side\n"), ["area"]) != found


def test_a_definition_that_is_gone_is_an_error(file: Path) -> None:
    with pytest.raises(KeyError, match="volume"):
        parts_of_file(file, ["volume"])


def test_parts_do_not_run_together() -> None:
    assert digest_parts(["ab", "c"]) != digest_parts(["a", "bc"])
    assert digest_parts(["a", "b"]) != digest_parts(["b", "a"])
