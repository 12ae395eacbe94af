"""A study as plain records, for reports, picks and MLflow. Reading takes no lock and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pruning_core.artifact_places import open_place
from reports.latency_records import LatencyMeasurement
from reports.records import StudyRecords, TrialRecord, TrialStatus
from search.artifact_address import artifact_address
from search.kept_scores import with_test_scores
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from search.studies.latencies import read_latencies
from search.studies.reading import read_snapshot
from search.studies.snapshot import AskedTrial, StudySnapshot
from search.trial_records import rung_scores

__all__ = ["combine_records", "read_mlflow_runs", "read_study"]


def read_study(folder: StudyFolder, *, with_tests: bool = True) -> StudyRecords:
    """Read a study: finished trials in the order they finished, then those that are running.

    A trial that was running when its driver was killed counts as running until the study is resumed.

    Args:
        folder: Of the study.
        with_tests: Networks that were looked at on test images once have these scores, for which the artifact store is
            asked.

    Raises:
        StorageError: There is no such study, it is of another version, or the artifact store cannot be read.
    """
    folder.check_existing()
    spec = load_spec(folder.spec_path)
    snapshot = read_snapshot(folder)
    finished: Sequence[TrialRecord] = snapshot.records
    if with_tests:
        finished = with_test_scores(finished, open_place(artifact_address(spec, folder)))
    running = [_running_record(spec, asked, key) for asked, key in snapshot.started]
    return combine_records(
        spec,
        _with_defaults(folder, snapshot),
        [*finished, *running],
        runs=read_mlflow_runs(folder),
        latencies=read_latencies(folder),
    )


def combine_records(
    spec: SearchSpec,
    attributes: Mapping[str, Any],
    records: Iterable[TrialRecord],
    *,
    runs: Mapping[str, Any] | None = None,
    latencies: Sequence[LatencyMeasurement] = (),
) -> StudyRecords:
    """Put records and what was noted about the study together.

    Args:
        spec: Objectives and constraints.
        attributes: created_at, version and machine.
        records: Finished ones in the order they finished.
        runs: Content of ``mlflow.json``, if there is one.
        latencies: What was measured of finished networks.
    """
    records = tuple(records)
    runs = runs or {}
    times = [
        time for record in records for time in (record.started_at, record.finished_at) if time is not None
    ]
    return StudyRecords(
        study=spec.study,
        objectives=spec.objectives,
        constraints=spec.constraints,
        created_at=attributes["created_at"],
        updated_at=max([attributes["created_at"], *times]),
        version=attributes["version"],
        machine=attributes["machine"],
        records=records,
        run_ids={int(number): run_id for number, run_id in runs.get("runs", {}).items()},
        run_url_base=runs.get("url_base"),
        latencies=tuple(latencies),
    )


def _running_record(spec: SearchSpec, asked: AskedTrial, trial_key: str) -> TrialRecord:
    config = spec.make_config(asked.values)
    return TrialRecord(
        study=spec.study,
        number=asked.number,
        trial_key=trial_key,
        status=TrialStatus.RUNNING,
        method=config.method.value,
        seed=config.seed,
        config=config.model_dump(mode="json"),
        varied=dict(asked.values),
        started_at=asked.started_at,
        rungs=tuple(rung_scores(reached) for reached in asked.rungs),
    )


def _with_defaults(folder: StudyFolder, snapshot: StudySnapshot) -> Mapping[str, Any]:
    """Return what was noted about a study, also of one whose driver has not come so far yet."""
    launched_at = folder.spec_path.stat().st_mtime
    return {"created_at": launched_at, "version": version("prunefront"), "machine": {}, **snapshot.attributes}


def read_mlflow_runs(folder: StudyFolder) -> Mapping[str, Any]:
    """Return which MLflow runs belong to the study, as `MlflowProjection` wrote it; empty if it has not."""
    try:
        content: Mapping[str, Any] = json.loads(folder.mlflow_runs_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content
