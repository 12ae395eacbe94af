"""Who may import whom, read from the source: also imports inside functions, also those for type checkers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORCHESTRATION = {"ray", "optuna", "mlflow", "pandas", "plotly", "typer", "moocore", "jinja2"}

FORBIDDEN = {
    "pruning_core": {"search", "reports", "spaces", *ORCHESTRATION},
    "spaces": {"search", "reports", "torch", "torchvision", "torch_pruning", *(ORCHESTRATION - {"optuna"})},
    "reports": {
        "search",
        "spaces",
        "pruning_core",
        "torch",
        "torchvision",
        "torch_pruning",
        "ray",
        "optuna",
        "mlflow",
    },
    "search": {"torch_pruning"},
}
"""Per package what no file of it imports."""


def imported_modules(source: str) -> Iterator[str]:
    """Yield every absolute module that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_from_a_layer_above_it_or_a_library_that_is_not_its_own(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files_of(package)
        for module in imported_modules(path.read_text(encoding="utf-8"))
        if module.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_spaces_knows_of_the_core_only_its_settings() -> None:
    allowed = {"pruning_core.config", "pruning_core.errors", "pruning_core.budgets"}
    found = {
        module
        for path in files_of("spaces")
        for module in imported_modules(path.read_text(encoding="utf-8"))
        if module.split(".")[0] == "pruning_core"
    }
    assert found <= allowed


def test_torch_pruning_stays_inside_two_files() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in files_of("pruning_core")
        if any(
            name.split(".")[0] == "torch_pruning"
            for name in imported_modules(path.read_text(encoding="utf-8"))
        )
    }
    assert len(users) <= 2
    assert all(user.startswith("pruning_core/channels/") for user in users)


@pytest.mark.parametrize("package", [*FORBIDDEN, "tests"])
def test_imports_are_absolute(package: str) -> None:
    relative = [
        str(path.relative_to(ROOT))
        for path in files_of(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert relative == []


def test_the_walker_sees_imports_inside_functions_and_for_type_checkers() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from ray.tune import Searcher
def late() -> None:
    import optuna.samplers
"""
    assert set(imported_modules(source)) == {"typing", "ray.tune", "optuna.samplers"}


def test_the_walker_looks_at_every_package() -> None:
    assert all(len(files_of(package)) > 3 for package in FORBIDDEN)
