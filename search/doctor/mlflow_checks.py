"""MLflow holds what the study holds: one run per finished trial, with its values. Imports mlflow when it is asked."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pruning_core.errors import StorageError
from reports.records import RECORD_FILE, TRIAL_KEY_TAG, TrialRecord, from_mlflow
from search.doctor.findings import Finding, Patient, numbers
from search.pick_book import read_picks
from search.session import FINISHED, INTERRUPTED
from search.studies.status import count_left
from search.tracking.store import SQLITE
from search.tracking.writer import address_of, quieten_mlflow

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["check_mlflow", "rebuild_mlflow"]


def check_mlflow(patient: Patient) -> Iterator[Finding]:
    """Every finished trial has one run, which ended and says what its record says."""
    if not patient.finished or patient.is_driven:
        return  # a driver is writing
    quieten_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        yield from _compare(patient)
    except (MlflowException, OSError) as error:
        yield Finding(
            problem=f"MLflow cannot be read: {' '.join(str(error).split())}",
            remedy="look whether its server runs; the study has everything, and MLflow is written from it",
        )


def rebuild_mlflow(patient: Patient) -> int:
    """Delete the study's runs in MLflow and write them anew; return how many trials have a run now."""
    quieten_mlflow()
    from search.tracking.projection import project_study

    with _told_in_a_line():
        projection = project_study(patient.folder)
        _delete(projection.client, [*projection.child_runs(), projection.parent_run()])
        return _write(patient)


def _compare(patient: Patient) -> Iterator[Finding]:
    finished = {record.trial_key: record for record in patient.finished}
    client, runs = _read_runs(patient)
    missing = [record.number for key, record in finished.items() if key not in runs]
    twice = {finished[key].number: same for key, same in runs.items() if key in finished and len(same) > 1}
    single = {key: same[0] for key, same in runs.items() if key in finished and len(same) == 1}
    wrong = {
        finished[key].number: run for key, run in single.items() if not _agrees(finished[key], run, client)
    }
    strange = [run for key, same in runs.items() if key not in finished for run in same]
    if missing:
        yield Finding(
            problem=f"{numbers(missing)}: no run in MLflow",
            remedy="writes it",
            mend=partial(_replace, patient, client, ()),
        )
    if twice:
        yield Finding(
            problem=f"{numbers(twice)}: more than one run",
            remedy="deletes all but the oldest",
            mend=partial(
                _replace, patient, client, [run for same in twice.values() for run in _surplus(same)]
            ),
        )
    if wrong:
        yield Finding(
            problem=f"{numbers(wrong)}: the run has not ended, or says other things than the record",
            remedy="writes it anew",
            mend=partial(_replace, patient, client, list(wrong.values())),
        )
    if strange:
        yield Finding(
            problem=f"runs of trials that did not end in this study: {_names(strange)}",
            remedy="deletes them",
            mend=partial(_replace, patient, client, strange),
        )


def _read_runs(patient: Patient) -> tuple[MlflowClient | None, dict[str, list[Run]]]:
    """Return a client and the runs of trials by their keys; nothing is written. None: there is no database."""
    from mlflow.tracking import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    from search.tracking.inputs import STUDY_ID
    from search.tracking.projection import all_runs

    address = address_of(patient.spec, patient.folder, patient.snapshot.attributes)
    runs: dict[str, list[Run]] = defaultdict(list)
    if address.uri.startswith(SQLITE) and not Path(address.uri.removeprefix(SQLITE)).exists():
        return None, runs  # a client would make one
    client = MlflowClient(tracking_uri=address.uri)
    experiment = client.get_experiment_by_name(address.study)
    if experiment is None:
        return client, runs
    where = [experiment.experiment_id]
    for parent in all_runs(client, where, f"tags.`{STUDY_ID}` = '{address.study_id}'"):
        for run in all_runs(client, where, f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'"):
            runs[run.data.tags.get(TRIAL_KEY_TAG, "")].append(run)
    return client, runs


def _agrees(record: TrialRecord, run: Run, client: MlflowClient | None) -> bool:
    assert client is not None, "there is a run"
    from mlflow.entities import RunStatus
    from mlflow.exceptions import MlflowException

    if not RunStatus.is_terminated(RunStatus.from_string(run.info.status)):
        return False
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = client.download_artifacts(run.info.run_id, RECORD_FILE, folder)
            text = Path(path).read_text(encoding="utf-8")
        read = from_mlflow(run.data.params, run.data.metrics, run.data.tags, text)
    except (MlflowException, OSError, ValueError):
        return False
    return read.model_copy(update={"test": None}) == record.model_copy(update={"test": None})


def _names(runs: Iterable[Run]) -> str:
    return ", ".join(str(run.info.run_name) for run in runs)


def _surplus(same: Sequence[Run]) -> list[Run]:
    return sorted(same, key=lambda run: (run.info.start_time, run.info.run_id))[1:]


def _replace(patient: Patient, client: MlflowClient | None, runs: Sequence[Run]) -> None:
    """Delete runs, and write what is missing then."""
    with _told_in_a_line():
        _delete(client, runs)
        _write(patient)


def _delete(client: MlflowClient | None, runs: Iterable[Run]) -> None:
    for run in list(runs):
        assert client is not None, "there is a run"
        client.delete_run(run.info.run_id)


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    """Turn what MLflow raises into one line for the user."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise StorageError(
            f"MLflow must take what is written, but: {' '.join(str(error).split())}"
        ) from error


def _write(patient: Patient) -> int:
    """Write what MLflow lacks of the study as it is on disk."""
    from search.tracking.pick_tag import tag_pick
    from search.tracking.projection import project_study

    patient.forget()
    projection = project_study(patient.folder)
    ended = FINISHED if count_left(patient.records, patient.spec) == 0 else INTERRUPTED
    projection.sync(patient.records, ended.run_status)
    picks = read_picks(patient.folder)
    picked = {record.number: record for record in patient.finished}.get(picks[0]["trial"]) if picks else None
    if picked is not None:
        tag_pick(picked, picks[0]["rule"], patient.spec, patient.folder)
    return projection.num_written
