"""``prunefront report``: one offline page, tables and figures, also in MLflow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import typer
from rich.console import Console

from reports.gallery import ExplanationGallery
from reports.page import ReportFiles, write_report
from reports.records import StudyRecords
from search.artifact_address import artifact_address
from search.disk import storage_errors
from search.hyperparameter_importances import hyperparameter_importances
from search.next_steps import open_study
from search.plug_in_path import add_plug_in_path
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from search.studies.gallery_plan import GalleryPlan, plan_gallery
from search.studies.records import read_study
from search.terminal import warn
from search.tracking.writer import quieten_mlflow

__all__ = ["publish_report", "write_study_report"]

GALLERY_SECONDS = 120.0
"""After so many seconds no further network is explained."""


def write_study_report(study: str, storage: Path, *, with_gallery: bool = True) -> None:
    """Write the report of a study as it is now, and print where it is.

    Raises:
        PrunefrontError: There is no such study, or its folder cannot be written.
    """
    folder = open_study(study, storage)
    publish_report(read_study(folder), folder, with_gallery=with_gallery, tell=_print_paths)


def publish_report(
    study: StudyRecords,
    folder: StudyFolder,
    *,
    with_gallery: bool = True,
    tell: Callable[[ReportFiles], object] = lambda _: None,
) -> ReportFiles:
    """Write the report to the study's folder and attach it to the study's MLflow run.

    A report that MLflow cannot take is still written; a line on stderr says so.

    Args:
        study: What the report is of.
        folder: Where the study is.
        with_gallery: Explain networks of the front, which takes long.
        tell: Called when all files are there, before MLflow has them.

    Raises:
        StorageError: The folder cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    complete = study.model_copy(update=_analyses(study, folder, with_gallery=with_gallery))
    with storage_errors(folder.path):
        files = write_report(complete, folder.report_path)
    tell(files)
    if study.records:
        _attach(files, folder)
    return files


def _attach(files: ReportFiles, folder: StudyFolder) -> None:
    quieten_mlflow()
    from mlflow.exceptions import MlflowException

    from search.tracking.projection import log_report

    figures = [files.figures[0].parent] if files.figures else []
    try:
        log_report(folder, [files.page, *files.tables, *figures])
    except (MlflowException, OSError) as error:
        warn(f"the report is not in MLflow ({' '.join(str(error).split())}); `prunefront report` tries again")


def _print_paths(files: ReportFiles) -> None:
    typer.echo("\n".join(str(path) for path in [files.page, *files.tables, *files.figures]))
    sys.stdout.flush()


def _analyses(study: StudyRecords, folder: StudyFolder, *, with_gallery: bool) -> dict[str, Any]:
    """Return what a report shows beside the records: what is computed of them, and of their networks."""
    spec = load_spec(folder.spec_path)
    found: dict[str, Any] = {"hyperparameter_importances": hyperparameter_importances(spec, study)}
    if not with_gallery:
        return {**found, "no_gallery": "This report was written without explanations (--no-gallery)."}
    plan = plan_gallery(study)
    if isinstance(plan, str):
        return {**found, "no_gallery": plan}
    drawn = _draw(plan, folder, spec)
    return {**found, **({"no_gallery": drawn} if isinstance(drawn, str) else {"gallery": drawn})}


def _draw(plan: GalleryPlan, folder: StudyFolder, spec: SearchSpec) -> ExplanationGallery | str:
    from search.studies.gallery import draw_gallery

    add_plug_in_path(spec.plug_ins)
    with Console(stderr=True).status("explaining networks") as status:
        return draw_gallery(
            plan,
            artifact_address(spec, folder),
            seconds=GALLERY_SECONDS,
            progress=lambda done, total: status.update(f"explaining networks: {done} of {total}"),
        )
