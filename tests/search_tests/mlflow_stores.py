"""A real sqlite store of MLflow, which takes seconds to create, and experiments in it."""

from __future__ import annotations

from pathlib import Path

from mlflow.tracking import MlflowClient

from search.tracking.writer import StudyAddress
from tests.reports_tests.synthetic import START

__all__ = ["CREATED_AT", "make_store", "place_in"]

CREATED_AT = START - 60


def make_store(folder: Path) -> Path:
    """Create a store in a folder, and return the folder."""
    MlflowClient(tracking_uri=_uri(folder)).search_experiments()
    return folder


def place_in(store: Path, name: str) -> StudyAddress:
    """Return the address of an experiment that the store does not have yet."""
    return StudyAddress(
        uri=_uri(store),
        files_uri=(store / "mlruns" / name).as_uri(),
        study=name,
        study_id=f"id-{name}",
        created_at=CREATED_AT,
        runs_path=store / f"{name}.json",
    )


def _uri(store: Path) -> str:
    return f"sqlite:///{store / 'mlflow.db'}"
