from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.errors import InvalidSettingsError
from search.execution.shipped_code import PACKAGES, package_folders, stage_plug_ins
from search.plug_in_path import SHIPPED_PLUG_INS


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n")


def test_all_of_the_package_is_shipped() -> None:
    assert [Path(folder).name for folder in package_folders()] == list(PACKAGES)
    assert all((Path(folder) / "__init__.py").is_file() for folder in package_folders())


def test_python_files_of_a_plug_in_folder_are_shipped_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shipped = ["my_networks.py", "parts/__init__.py", "parts/blocks.py"]
    left_out = [
        "weights.bin",
        ".git/hooks/x.py",
        "venv/pyvenv.cfg",
        "venv/lib/y.py",
        "results/prunefront.json",
        "results/a/export.py",
        "__pycache__/z.py",
    ]
    write(home, *shipped, *left_out)
    copy = stage_plug_ins(home, tmp_path / "staged")
    assert copy == tmp_path / "staged" / SHIPPED_PLUG_INS
    found = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert found == set(shipped)


@pytest.mark.parametrize(("names", "found"), [([], "none"), (["a.py", "b.py"], "2 of 21.0 MB")])
def test_a_folder_that_cannot_be_meant_is_refused(tmp_path: Path, names: list[str], found: str) -> None:
    write(tmp_path, "notes.txt", *names)
    for name in names:
        (tmp_path / name).write_bytes(b"#" * (21 * 2**19))
    with pytest.raises(InvalidSettingsError, match=f"at most 20 MB, but {tmp_path} holds {found}"):
        stage_plug_ins(tmp_path, tmp_path / "staged")
