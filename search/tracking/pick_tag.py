"""The pick as MLflow shows it: tags on the picked child run and on the parent, and the child's test accuracy.

Repeatable like everything that goes to MLflow: what is right already is left alone, and a pick that moves takes its
tag along. This file imports mlflow, which takes seconds.
"""

from __future__ import annotations

from pathlib import Path

from mlflow.entities import Metric, Run, RunTag
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pruning_core.errors import StorageError
from reports.records import PICKED_TAG, TrialRecord, pick_tags, to_metrics
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.records import read_mlflow_runs
from search.tracking.store import SQLITE

__all__ = ["tag_pick"]


def tag_pick(record: TrialRecord, rule: str, spec: SearchSpec, folder: StudyFolder) -> str:
    """Make a trial's run the picked one of its study, and return the run's id.

    Args:
        record: The picked trial; its test scores, if it has them, become metrics of the run.
        rule: It was picked by.
        spec: Of the study; says where MLflow is.
        folder: Of the study; says which runs it has there.

    Raises:
        StorageError: The study, or this trial, has no run in MLflow yet.
        MlflowException: MLflow cannot be reached.
    """
    runs = read_mlflow_runs(folder)
    number = str(record.number)
    uri = spec.storage.mlflow or folder.mlflow_uri
    is_gone = uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()
    if number not in runs.get("runs", {}) or is_gone:
        raise StorageError(
            f"trial {number} of study '{folder.study}' must have a run in MLflow, but has none yet"
        )
    client = MlflowClient(tracking_uri=uri)
    child, parent = client.get_run(runs["runs"][number]), client.get_run(runs["parent"])
    of_child, of_parent = pick_tags(record, rule)
    for other in _picked_before(client, parent):
        if other.info.run_id != child.info.run_id:
            client.delete_tag(other.info.run_id, PICKED_TAG)
    _write(client, child, of_child, _test_metrics(record))
    _write(client, parent, of_parent, {})
    return str(child.info.run_id)


def _picked_before(client: MlflowClient, parent: Run) -> list[Run]:
    query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}' and tags.`{PICKED_TAG}` = 'true'"
    return list(client.search_runs([parent.info.experiment_id], query))


def _write(client: MlflowClient, run: Run, tags: dict[str, str], metrics: dict[str, float]) -> None:
    new_tags = [RunTag(name, tag) for name, tag in tags.items() if run.data.tags.get(name) != tag]
    at = run.info.end_time or run.info.start_time  # a time of its own would add a point with every repetition
    new_metrics = [
        Metric(name, value, at, 0) for name, value in metrics.items() if run.data.metrics.get(name) != value
    ]
    if new_tags or new_metrics:
        client.log_batch(run.info.run_id, metrics=new_metrics, tags=new_tags)


def _test_metrics(record: TrialRecord) -> dict[str, float]:
    """Return the metrics that a trial has for its test scores alone."""
    others = to_metrics(record.model_copy(update={"test": None}))
    return {name: value for name, value in to_metrics(record).items() if name not in others}
