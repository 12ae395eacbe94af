"""MLflow's embedded database. Imports mlflow, which takes seconds."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mlflow.tracking import MlflowClient

__all__ = ["SQLITE", "create_database"]

SQLITE = "sqlite:///"
"""How the address of a database file begins."""


def create_database(path: Path) -> None:
    """Make MLflow's database, whole or not at all; nothing happens if it is there.

    MLflow makes its tables in seconds and many steps. Were it killed between two of them in the database's own place,
    no later process could open what is there.
    """
    if path.exists():
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="prunefront-mlflow-") as temporary:
        begun = Path(temporary) / path.name
        MlflowClient(tracking_uri=f"{SQLITE}{begun}").search_experiments(max_results=1)
        try:
            shutil.copyfile(begun, partial)
            _move_if_new(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _move_if_new(source: Path, target: Path) -> None:
    """Move a file to a name that nothing has; another process may have been first."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        source.rename(target)
