"""``prunefront report``: one offline page and two tables, also in MLflow."""

from __future__ import annotations

from pathlib import Path

import typer

from reports.page import ReportFiles, write_report
from reports.records import StudyRecords
from search.disk import storage_errors
from search.next_steps import open_study
from search.study_folder import StudyFolder
from search.study_records import read_study
from search.terminal import warn
from search.tracking_writer import quieten_mlflow

__all__ = ["publish_report", "write_study_report"]


def write_study_report(study: str, storage: Path) -> None:
    """Write the report of a study as it is now, and print where it is.

    Raises:
        PrunefrontError: There is no such study, or its folder cannot be written.
    """
    folder = open_study(study, storage)
    files = publish_report(read_study(folder), folder)
    typer.echo("\n".join(str(path) for path in (files.page, files.front_csv, files.trials_csv)))


def publish_report(study: StudyRecords, folder: StudyFolder) -> ReportFiles:
    """Write the report to the study's folder and attach it to the study's MLflow run.

    A report that MLflow cannot take is still written; a line on stderr says so.

    Raises:
        StorageError: The folder cannot be written.
    """
    with storage_errors(folder.path):
        files = write_report(study, folder.report_path)
    if study.records:
        _log(folder, files)
    return files


def _log(folder: StudyFolder, files: ReportFiles) -> None:
    quieten_mlflow()
    from mlflow.exceptions import MlflowException

    from search.tracking import log_report

    try:
        log_report(folder, (files.page, files.front_csv, files.trials_csv))
    except (MlflowException, OSError) as error:
        warn(f"the report is not in MLflow ({' '.join(str(error).split())}); `prunefront report` tries again")
