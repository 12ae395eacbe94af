"""MLflow as a projection of the study: one parent run per study, one child per trial key.

Everything here can be repeated: runs are found by tag before they are created, and time stamps come from the
records, so a second write adds nothing. MLflow is never read back for anything but which runs it has, and how far
their series go.
This file imports mlflow, which takes seconds; a search does so in another process (`process`, `program`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from pruning_core.errors import StorageError
from reports.front_series import BEST_ACCURACY, FrontSeries
from reports.fronts import find_front, front_ranks, is_ranked, scores_of
from reports.records import (
    RECORD_FILE,
    TRIAL_KEY_TAG,
    StudyRecords,
    TrialRecord,
    TrialStatus,
    record_json,
    to_metrics,
    to_params,
    to_tags,
)
from search.disk import write_whole
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.reading import read_attributes
from search.tracking.inputs import STUDY_ID, dataset_of, log_inputs
from search.tracking.store import SQLITE, create_database
from search.tracking.view import EXPERIMENT_TAGS, SHARED_VIEW
from search.tracking.writer import Projection, StudyAddress, address_of

__all__ = ["MlflowProjection", "all_runs", "log_report", "project_study"]

_RUN_STATUS = {
    TrialStatus.COMPLETE: "FINISHED",
    TrialStatus.FAILED: "FAILED",
    TrialStatus.STOPPED: "KILLED",
    TrialStatus.INFEASIBLE: "KILLED",
}
_DESCRIPTION = """\
A search for slimmer networks; each child run is one. The report is among the artifacts.

- on the front: ``tags.`pareto.front` = 'true'``; the next front behind it: ``tags.`pareto.rank` = '2'``
- accuracies are of validation images; `macs` are the multiply-accumulates of one image; shares are kept / dense
- a child's parameters are what varied; its artifact `record.json` holds everything
- metrics of this run are series, one point per finished network: hypervolume, size of the front, best accuracy, and
  best accuracy within 10, 25, 50 and 75 percent of what the dense network costs
"""
_MAX_BATCH = 900  # MLflow takes at most 1000 values in one call


@dataclass(slots=True)
class _Child:
    run_id: str
    is_written: bool = False
    tags: dict[str, str] = field(default_factory=dict)


class MlflowProjection:
    """Writes a study's records to MLflow.

    Args:
        address: Where to.
        tags: Facts about the data and the dense network, for the parent run.
    """

    def __init__(self, address: StudyAddress, tags: Mapping[str, object]) -> None:
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(
                logging.CRITICAL
            )  # what fails is raised, and told by whoever calls
        self._address = address
        if address.uri.startswith(SQLITE):
            create_database(Path(address.uri.removeprefix(SQLITE)))
        self._client = MlflowClient(tracking_uri=address.uri)
        self._experiment_id = self._find_experiment()
        for name, tag in EXPERIMENT_TAGS.items():
            self._client.set_experiment_tag(self._experiment_id, name, tag)
        self._parent_id = self._find_parent(tags)
        self._facts = tags
        self._dense_id = log_inputs(
            self._client, self._experiment_id, self._parent_id, address.study_id, tags
        )
        self._children = self._find_children()
        self._num_points = self._count_points()
        self._series: FrontSeries | None = None
        self._num_followed = 0
        self._unwritten: list[Metric] = []  # points of the series that MLflow lacks

    @property
    def parent_id(self) -> str:
        """The parent run."""
        return self._parent_id

    @property
    def client(self) -> MlflowClient:
        """What it writes with."""
        return self._client

    @property
    def uri(self) -> str:
        """MLflow's tracking address."""
        return self._address.uri

    @property
    def experiment_id(self) -> str:
        """The study's experiment."""
        return self._experiment_id

    @property
    def dense_model_id(self) -> str:
        """The logged model that stands for the dense network."""
        return self._dense_id

    @property
    def run_ids(self) -> dict[str, str]:
        """The runs of trials, by trial key."""
        return {key: child.run_id for key, child in self._children.items()}

    @property
    def num_written(self) -> int:
        """How many trials have a complete run."""
        return sum(child.is_written for child in self._children.values())

    def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
        """Write what MLflow lacks.

        Args:
            study: Finished trials in the order they finished.
            final_status: MLflow's word for how the search ended; None while it goes on. Ranks behind the front are
                written at the end only.
        """
        finished = [record for record in study.records if record.status is not TrialStatus.RUNNING]
        for record in finished:
            if not self._child(record).is_written:
                self._write_trial(record)
        self._write_series([record for record in finished if is_ranked(record, study.objectives)], study)
        self._write_tags(finished, study, ranks_too=final_status is not None)
        self._write_run_ids(finished)
        if final_status is None:
            self._client.update_run(self._parent_id, status="RUNNING")
        else:
            self._client.set_terminated(self._parent_id, final_status, _milliseconds(study.updated_at))

    def log_files(self, paths: Sequence[Path], folder: str) -> None:
        """Attach files to the parent run."""
        for path in paths:
            self._client.log_artifact(self._parent_id, str(path), artifact_path=folder)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._address.study)
        if found is not None:
            return str(found.experiment_id)
        return str(
            self._client.create_experiment(self._address.study, artifact_location=self._address.files_uri)
        )

    def _find_parent(self, tags: Mapping[str, object]) -> str:
        runs = self._runs(f"tags.`{STUDY_ID}` = '{self._address.study_id}'")
        run = next(runs, None)
        if run is None:
            run = self._client.create_run(
                self._experiment_id,
                start_time=_milliseconds(self._address.created_at),
                run_name=self._address.study,
                tags={
                    STUDY_ID: self._address.study_id,
                    MLFLOW_RUN_NOTE: _DESCRIPTION,
                    # of the data the name only: the rest is with the data set among the inputs
                    **{name: str(tag) for name, tag in tags.items() if not name.startswith("dataset.")},
                },
            )
        return str(run.info.run_id)

    def child_runs(self) -> Iterator[Run]:
        """Read the runs of trials as MLflow has them."""
        return self._runs(f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self._parent_id}'")

    def parent_run(self) -> Run:
        """Read the study's run."""
        return self._client.get_run(self._parent_id)

    def _find_children(self) -> dict[str, _Child]:
        return {
            run.data.tags[TRIAL_KEY_TAG]: _Child(
                run_id=run.info.run_id,
                is_written=RunStatus.is_terminated(RunStatus.from_string(run.info.status)),
                tags=dict(run.data.tags),
            )
            for run in self.child_runs()
        }

    def _runs(self, query: str) -> Iterator[Run]:
        return all_runs(self._client, [self._experiment_id], query)

    def _child(self, record: TrialRecord) -> _Child:
        child = self._children.get(record.trial_key)
        if child is None:
            run = self._client.create_run(
                self._experiment_id,
                start_time=_milliseconds(record.started_at),
                run_name=f"trial-{record.number:04d}",
                tags={MLFLOW_PARENT_RUN_ID: self._parent_id, TRIAL_KEY_TAG: record.trial_key},
            )
            child = self._children[record.trial_key] = _Child(run_id=run.info.run_id)
        return child

    def _write_trial(self, record: TrialRecord) -> None:
        child = self._child(record)
        at = _milliseconds(record.finished_at)
        tags = to_tags(record, front_rank=None, on_front=False)
        self._client.log_batch(
            child.run_id,
            metrics=[Metric(name, value, at, 0) for name, value in to_metrics(record).items()],
            params=[Param(name, value) for name, value in to_params(record).items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self._client.log_text(child.run_id, record_json(record), RECORD_FILE)
        self._client.set_terminated(child.run_id, _RUN_STATUS[record.status], at)
        child.tags.update(tags)
        child.is_written = True

    def _count_points(self) -> int:
        """Count the trials of which all points of the series are written: the last series has one for each."""
        return len(self._client.get_metric_history(self._parent_id, BEST_ACCURACY))

    def _write_series(self, ranked: Sequence[TrialRecord], study: StudyRecords) -> None:
        """Write how the front grew with each trial that counts, as far as MLflow lacks it."""
        if ranked and self._num_followed == self._num_points == 0:
            self._unwritten += self._dense_accuracy(ranked[0])
        self._series = self._series or FrontSeries(study.objectives)
        for record in ranked[self._num_followed :]:
            values = self._series.add(record)
            self._num_followed += 1
            if self._num_followed > self._num_points:
                at = _milliseconds(record.finished_at)
                self._unwritten += [
                    Metric(name, value, at, self._num_followed) for name, value in values.items()
                ]
        while self._unwritten:
            self._client.log_batch(self._parent_id, metrics=self._unwritten[:_MAX_BATCH])
            del self._unwritten[:_MAX_BATCH]

    def _dense_accuracy(self, record: TrialRecord) -> list[Metric]:
        """Return the dense network's accuracy, of its model and of the study's run.

        Nothing where trials vary the network, or an earlier version noted less about it.
        """
        scores, data = scores_of(record), dataset_of(self._facts)
        if data is None or scores.dense_macs != self._facts.get("dense.macs"):
            return []
        return [
            Metric(
                "accuracy_dense",
                scores.accuracy_dense,
                _milliseconds(record.finished_at),
                step=0,
                model_id=self._dense_id,
                dataset_name=data.name,
                dataset_digest=data.digest,
                run_id=self._parent_id,
            )
        ]

    def _write_tags(self, finished: Sequence[TrialRecord], study: StudyRecords, *, ranks_too: bool) -> None:
        """Bring the tags of the front up to date; on the way only those that say who is on it."""
        members = {record.number for record in find_front(study).members}
        ranks = front_ranks(study)
        for record in finished:
            child = self._children[record.trial_key]
            rank = ranks.get(record.number)
            wanted = to_tags(record, front_rank=rank, on_front=record.number in members)
            changed = {name: tag for name, tag in wanted.items() if child.tags.get(name) != tag}
            if changed and (ranks_too or changed.keys() - {"pareto.rank"}):
                self._client.log_batch(child.run_id, tags=[RunTag(*tag) for tag in changed.items()])
                child.tags.update(changed)

    def _write_run_ids(self, finished: Sequence[TrialRecord]) -> None:
        is_web = self._address.uri.startswith(("http://", "https://"))
        base = f"{self._address.uri.rstrip('/')}/#/experiments/{self._experiment_id}/runs" if is_web else None
        runs = {str(record.number): self._children[record.trial_key].run_id for record in finished}
        content = {
            "experiment": self._experiment_id,
            "parent": self._parent_id,
            "url_base": base,
            "view": SHARED_VIEW,
            "runs": runs,
        }
        write_whole(self._address.runs_path, json.dumps(content, indent=1))


def all_runs(client: MlflowClient, experiment_ids: list[str], query: str) -> Iterator[Run]:
    """Read all runs that a query finds, page by page."""
    token: str | None = None
    while True:
        page = client.search_runs(experiment_ids, query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def log_report(folder: StudyFolder, paths: Sequence[Path]) -> str:
    """Attach the files of a report to the study's parent run, and return the run's id.

    Trials are left alone: another process may be writing them.

    Raises:
        StorageError: There is no such study, or its driver was killed before it began.
    """
    projection = project_study(folder)
    projection.log_files(paths, "report")
    return projection.parent_id


def project_study(folder: StudyFolder) -> MlflowProjection:
    """Open what MLflow has of a study; nothing is written but what every projection begins with.

    Raises:
        StorageError: There is no such study, or its driver was killed before it began.
    """
    folder.check_existing()
    attributes = read_attributes(folder)
    if not {"id", "created_at", "facts"} <= attributes.keys():
        raise StorageError(
            f"a study must have begun to be in MLflow, but {folder.study!r} has not; "
            f"type `prunefront resume {folder.study}`"
        )
    address = address_of(load_spec(folder.spec_path), folder, attributes)
    return MlflowProjection(address, attributes["facts"])


def _milliseconds(seconds: float | None) -> int:
    return int((seconds or 0.0) * 1000)


if TYPE_CHECKING:

    def _conforms(projection: MlflowProjection) -> Projection:
        return projection
