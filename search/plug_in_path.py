"""Where ``module:function`` names of a spec are imported from."""

from __future__ import annotations

import sys

__all__ = ["add_plug_in_path"]


def add_plug_in_path(folder: str | None) -> None:
    """Let this process import from a folder, before what is installed; None: from nowhere else."""
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
