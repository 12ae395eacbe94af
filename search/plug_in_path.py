"""Where ``module:function`` names of a spec are imported from."""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["SHIPPED_PLUG_INS", "add_plug_in_path", "shipped_plug_ins"]

SHIPPED_PLUG_INS = "prunefront_plug_ins"
"""The package that a plug-in folder becomes when it is sent to other machines."""


def add_plug_in_path(folder: str | None) -> None:
    """Let this process import from a folder, before what is installed; None: from nowhere else."""
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)


def shipped_plug_ins() -> str:
    """Return the folder in which this machine got the plug-ins of a driver on another one.

    Raises:
        ModuleNotFoundError: It got none.
    """
    found = importlib.util.find_spec(SHIPPED_PLUG_INS)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"the driver's plug-ins ({SHIPPED_PLUG_INS}) did not come to this machine")
    return str(next(iter(found.submodule_search_locations)))
