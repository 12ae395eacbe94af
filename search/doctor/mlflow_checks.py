"""MLflow holds what the study holds: a run that ended as the study did, and one per finished trial, with its values.

Imports mlflow when it is asked.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pruning_core.errors import StorageError
from reports.records import RECORD_FILE, TRIAL_KEY_TAG, TrialRecord, from_mlflow
from search.doctor.findings import Finding, Patient, numbers
from search.driver_presence import last_host_elsewhere
from search.next_steps import command
from search.pick_book import read_picks
from search.session import FAILED, FINISHED, INTERRUPTED, EndReason
from search.studies.status import count_left
from search.timeline import read_timeline
from search.tracking.store import SQLITE
from search.tracking.writer import address_of, quieten_mlflow

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["check_mlflow", "rebuild_mlflow"]

_ENDS = {reason.name: reason for reason in (FINISHED, INTERRUPTED, FAILED)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Runs:
    """What MLflow has of a study.

    ``client``: None: there is no database. ``of_study``: the study's own run. ``of_trials``: theirs, by their keys.
    """

    client: MlflowClient | None
    of_study: Run | None = None
    of_trials: dict[str, list[Run]] = field(default_factory=dict)


def check_mlflow(patient: Patient) -> Iterator[Finding]:
    """The study's run ended as the study did; every finished trial has one run, which says what its record says."""
    if patient.is_driven or "id" not in patient.snapshot.attributes:
        return  # a driver is writing, or none has begun
    quieten_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        found = _read_runs(patient)
        yield from _check_study(patient, found)
        yield from _compare(patient, found.client, found.of_trials)
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


def _check_study(patient: Patient, found: _Runs) -> Iterator[Finding]:
    if found.of_study is None:
        return  # then runs of trials are missing too, or none has ended
    from mlflow.entities import RunStatus

    status, last_end = found.of_study.info.status, _last_end(patient)
    has_ended = RunStatus.is_terminated(RunStatus.from_string(status))
    if has_ended and (last_end is None or status == last_end.run_status):
        return
    host = last_host_elsewhere(patient.folder)
    if not has_ended and host is not None:
        yield Finding(
            problem=f"the study's run is {status}, and was last driven on {host}, where a driver may work on it",
            remedy=f"type `{command(patient.folder, 'doctor')}` there",
            is_note=True,
        )
        return
    truth = f"its last driver noted: {last_end.name}" if last_end else "no driver works on the study"
    yield Finding(
        problem=f"the study's run is {status}, but {truth}",
        remedy=f"makes it {_end(patient).run_status}",
        mend=partial(_replace, patient, found.client, ()),
    )


def _last_end(patient: Patient) -> EndReason | None:
    """Return why the study's last driver stopped; None if it was killed, or did not say."""
    events = read_timeline(patient.folder.timeline_path)
    return _ENDS.get(events[-1].get("reason", "")) if events and events[-1]["event"] == "end" else None


def _end(patient: Patient) -> EndReason:
    """Return what MLflow should say about the study's end."""
    done = FINISHED if count_left(patient.records, patient.spec) == 0 else INTERRUPTED
    return _last_end(patient) or done


def _compare(
    patient: Patient, client: MlflowClient | None, runs: Mapping[str, Sequence[Run]]
) -> Iterator[Finding]:
    finished = {record.trial_key: record for record in patient.finished}
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


def _read_runs(patient: Patient) -> _Runs:
    """Read what MLflow has of a study; nothing is written."""
    from mlflow.tracking import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    from search.tracking.inputs import STUDY_ID
    from search.tracking.projection import all_runs

    address = address_of(patient.spec, patient.folder, patient.snapshot.attributes)
    if address.uri.startswith(SQLITE) and not Path(address.uri.removeprefix(SQLITE)).exists():
        return _Runs(client=None)  # a client would make one
    client = MlflowClient(tracking_uri=address.uri)
    experiment = client.get_experiment_by_name(address.study)
    if experiment is None:
        return _Runs(client=client)
    where = [experiment.experiment_id]
    parents = list(all_runs(client, where, f"tags.`{STUDY_ID}` = '{address.study_id}'"))
    runs: dict[str, list[Run]] = defaultdict(list)
    for parent in parents:
        for run in all_runs(client, where, f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'"):
            runs[run.data.tags.get(TRIAL_KEY_TAG, "")].append(run)
    return _Runs(client=client, of_study=parents[0] if parents else None, of_trials=runs)


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
    projection.sync(patient.records, _end(patient).run_status)
    picks = read_picks(patient.folder)
    picked = {record.number: record for record in patient.finished}.get(picks[0]["trial"]) if picks else None
    if picked is not None:
        tag_pick(picked, picks[0]["rule"], patient.spec, patient.folder)
    return projection.num_written
