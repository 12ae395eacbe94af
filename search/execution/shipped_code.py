"""The code that a cluster's machines get from the driver: this package, and the modules of a spec's plug-ins.

All machines then run what the driver runs, whichever version they have installed, if any. What these modules import of
others (torch, Ray, ...) must be there.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from pruning_core.errors import InvalidSettingsError
from search.plug_in_path import SHIPPED_PLUG_INS

__all__ = ["PACKAGES", "package_folders", "stage_plug_ins"]

PACKAGES = ("pruning_core", "reports", "search", "spaces")

_MAX_BYTES = 20 * 2**20
_NO_PLUG_INS = frozenset({"__pycache__", "node_modules", "site-packages"})


def package_folders() -> list[str]:
    """Return the folders of this package, as they lie on the driver's machine."""
    return [str(Path(str(importlib.import_module(name).__file__)).parent) for name in PACKAGES]


def stage_plug_ins(folder: Path, target: Path) -> Path:
    """Copy the Python files below a plug-in folder to where they can be shipped from.

    Hidden folders, virtual environments and results folders are left out; so is everything that is not Python.

    Args:
        folder: Of the plug-ins.
        target: Where the copy is made, in a folder named `SHIPPED_PLUG_INS`.

    Returns:
        The copy.

    Raises:
        InvalidSettingsError: There are more than 20 MB of Python files, or none.
    """
    files = list(_python_files(folder))
    size = sum(path.stat().st_size for path in files)
    if not files or size > _MAX_BYTES:
        found = f"{len(files)} of {size / 2**20:.1f} MB" if files else "none"
        raise InvalidSettingsError(
            f"'plug_ins': the folder must hold the Python files that a cluster's machines need, at most "
            f"{_MAX_BYTES // 2**20} MB, but {folder} holds {found}; name a folder of their own"
        )
    copy = target / SHIPPED_PLUG_INS
    for path in files:
        place = copy / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return copy


def _python_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and not _is_left_out(path):
            yield from _python_files(path)
        elif path.suffix == ".py" and path.is_file():
            yield path


def _is_left_out(folder: Path) -> bool:
    is_marked = any((folder / name).exists() for name in ("pyvenv.cfg", "prunefront.json"))
    return is_marked or folder.name.startswith(".") or folder.name in _NO_PLUG_INS
