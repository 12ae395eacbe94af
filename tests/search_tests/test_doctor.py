"""``prunefront doctor``: every illness is found, nothing is written unasked, and what is mended is well."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pruning_core.kept_artifacts import artifact_folder
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from reports.records import TrialRecord, TrialStatus
from search.cli import app
from search.doctor import CHECKS, Patient, examine
from search.doctor.findings import numbers
from search.studies.folder import StudyFolder
from search.studies.lock import hold_study
from search.studies.records import read_study
from search.studies.study import open_search_study
from search.timeline import Timeline
from tests.reports_tests.synthetic import START, make_record
from tests.search_tests.stored_studies import SPEC, store_study

runner = CliRunner()
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the libraries below MLflow deprecate each other
    pytest.mark.slow,
]
STATUSES = (TrialStatus.COMPLETE, TrialStatus.FAILED, TrialStatus.COMPLETE, TrialStatus.INFEASIBLE)


def make_trials() -> list[TrialRecord]:
    records = [make_record(number, status=status) for number, status in enumerate(STATUSES)]
    return [
        record.model_copy(update={"artifact_keys": {"dense": "d" * 24, "fine_tune": f"{record.number:024x}"}})
        for record in records
    ]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study with its artifacts and its runs in MLflow."""
    folder = store_study(tmp_path_factory.mktemp("healthy"), make_trials())
    store = ArtifactStore(folder.artifacts_path)
    for record in read_study(folder).records:
        for key in record.artifact_keys.values():
            store.put(key, Artifact(facts={"made": "up"}))
    assert doctor(folder, "--mend").exit_code == 0
    return folder


@pytest.fixture
def folder(healthy: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A copy that a test may spoil; its MLflow database says where the files of runs lie, so these are shared."""
    shutil.copytree(healthy.root, tmp_path / "results")
    return StudyFolder(tmp_path / "results", healthy.study)


def doctor(folder: StudyFolder, *options: str) -> Result:
    return runner.invoke(app, ["doctor", folder.study, "--storage", str(folder.root), *options])


def content_of(folder: StudyFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.root)): path.read_bytes()
        for path in sorted(folder.root.rglob("*"))
        if path.is_file()
    }


def test_a_healthy_study_is_told_so_and_left_alone(folder: StudyFolder) -> None:
    before = content_of(folder)
    result = doctor(folder)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"study tiny: {', '.join(CHECKS)} are in order\n"
    assert result.stderr == ""  # no bars of MLflow's, one per run
    assert content_of(folder) == before


def cut_the_log(folder: StudyFolder) -> None:
    with folder.journal_path.open("ab") as file:
        file.write(b'{"op_code":8,"worker')


def forget_the_end_of_a_trial(folder: StudyFolder) -> None:
    lines = folder.journal_path.read_bytes().splitlines(keepends=True)
    ends = [line for line in lines if json.loads(line)["op_code"] == 6 and json.loads(line)["trial_id"] == 3]
    folder.journal_path.write_bytes(b"".join(line for line in lines if line not in ends[-1:]))


def leave_half_a_file(folder: StudyFolder) -> None:
    (folder.path / ".mlflow.json.99999999").write_text("{")


def lose_mlflow(folder: StudyFolder) -> None:
    (folder.root / "mlflow.db").unlink()


def delete_a_run(folder: StudyFolder) -> None:
    client, runs = mlflow_of(folder)
    client.delete_run(runs["runs"]["2"])


def write_a_run_twice(folder: StudyFolder) -> None:
    client, runs = mlflow_of(folder)
    first = client.get_run(runs["runs"]["0"])
    client.create_run(
        first.info.experiment_id, start_time=first.info.start_time + 1, tags=dict(first.data.tags)
    )


def change_a_value(folder: StudyFolder) -> None:
    client, runs = mlflow_of(folder)
    client.log_metric(runs["runs"]["0"], "accuracy", 0.5)


def add_a_stranger(folder: StudyFolder) -> None:
    client, runs = mlflow_of(folder)
    first = client.get_run(runs["runs"]["0"])
    client.create_run(
        first.info.experiment_id,
        run_name="stranger",
        tags={**dict(first.data.tags), "trial.key": "f" * 16, "mlflow.runName": "stranger"},
    )


def leave_the_study_running(folder: StudyFolder) -> None:
    say_of_the_study(folder, "RUNNING")


def contradict_the_driver(folder: StudyFolder) -> None:
    note_sessions(folder, "interrupted", "finished")
    say_of_the_study(folder, "KILLED")


def write_as_a_driver(folder: StudyFolder) -> None:
    """Write to MLflow what a driver does that goes on."""
    from search.tracking.projection import project_study

    project_study(folder).sync(read_study(folder))


def say_of_the_study(folder: StudyFolder, status: str) -> None:
    client, runs = mlflow_of(folder)
    client.update_run(runs["parent"], status=status)


def said_of_the_study(folder: StudyFolder) -> str:
    client, runs = mlflow_of(folder)
    return str(client.get_run(runs["parent"]).info.status)


def note_sessions(folder: StudyFolder, *reasons: str | None) -> None:
    """Write a timeline of drivers that stopped for these reasons; None: that were killed."""
    timeline = Timeline(folder.timeline_path)
    for reason in reasons:
        timeline.begin_session(at=START, slots=1, pid=1)
        if reason is not None:
            timeline.end_session(reason=reason)


def hold_elsewhere(folder: StudyFolder, *, pid: int, host: str) -> None:
    """Leave a lock file as another process does."""
    holder = {"pid": pid, "user": "somebody", "host": host, "since": "2026-01-31 12:00:00"}
    folder.lock_path.write_text(json.dumps(holder))


def mlflow_of(folder: StudyFolder) -> tuple:  # type: ignore[type-arg]  # mlflow is imported late
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=folder.mlflow_uri), json.loads(folder.mlflow_runs_path.read_text())


ILLNESSES: dict[str, tuple[Callable[[StudyFolder], None], str]] = {
    "torn log": (cut_the_log, "problem (log): the log ends with 20 bytes of a line that was not finished"),
    "untold trial": (
        forget_the_end_of_a_trial,
        "problem (trials): trial 3: written down, but the driver was",
    ),
    "half a file": (
        leave_half_a_file,
        "problem (leftovers): half-written files of processes that are gone: .m",
    ),
    "no MLflow": (lose_mlflow, "problem (mlflow): trials 0, 1, 2 and 3: no run in MLflow"),
    "deleted run": (delete_a_run, "problem (mlflow): trial 2: no run in MLflow"),
    "run twice": (write_a_run_twice, "problem (mlflow): trial 0: more than one run"),
    "changed value": (
        change_a_value,
        "problem (mlflow): trial 0: the run has not ended, or says other things",
    ),
    "stranger": (add_a_stranger, "problem (mlflow): runs of trials that did not end in this study: stranger"),
    "running study": (
        leave_the_study_running,
        "problem (mlflow): the study's run is RUNNING, but no driver works on the study",
    ),
    "contradicted driver": (
        contradict_the_driver,
        "problem (mlflow): the study's run is KILLED, but its last driver noted: finished",
    ),
}


@pytest.mark.parametrize("illness", ILLNESSES)
def test_an_illness_is_found_unchanged_until_it_is_to_be_mended(folder: StudyFolder, illness: str) -> None:
    spoil, told = ILLNESSES[illness]
    records = read_study(folder).records
    spoil(folder)
    before = content_of(folder)
    found = doctor(folder)
    assert found.exit_code == 1, found.output
    assert told in found.stdout
    assert found.stdout.splitlines()[-1].startswith("Next: prunefront doctor tiny --mend")
    assert content_of(folder) == before
    mended = doctor(folder, "--mend")
    assert mended.exit_code == 0, mended.output
    assert f"mended: {told.split('): ', 1)[1]}" in mended.stdout
    assert doctor(folder).exit_code == 0
    assert read_study(folder).records == records


def test_a_spoilt_artifact_is_taken_out_and_its_trials_are_named(folder: StudyFolder) -> None:
    record = read_study(folder).records[0]
    key = record.artifact_keys["fine_tune"]
    (artifact_folder(folder.artifacts_path, key) / "tensors.safetensors").write_bytes(b"short")
    found = examine(Patient(folder))["artifacts"]
    assert [finding.mend is not None for finding in found] == [True, True]
    assert found[0].problem.startswith(f"artifact {key} cannot be read (")
    assert found[1].problem.startswith(f"trial {record.number}: stages are not in the store any more")
    assert found[0].mend is not None
    found[0].mend()
    assert not artifact_folder(folder.artifacts_path, key).exists()
    assert len(examine(Patient(folder))["artifacts"]) == 1


def test_a_log_that_is_spoilt_inside_is_told_and_nothing_else_is_looked_at(folder: StudyFolder) -> None:
    lines = folder.journal_path.read_bytes().splitlines(keepends=True)
    folder.journal_path.write_bytes(b"".join([*lines[:5], b'{"op_code":8,"wor\n', *lines[5:]]))
    result = doctor(folder, "--mend")
    assert result.exit_code == 1
    assert "must hold a line of JSON per operation" in result.stdout
    assert "mlflow" not in result.stdout


def test_the_same_run_twice_is_told(tmp_path: Path) -> None:
    same = make_record(1).model_copy(update={"trial_key": make_record(0).trial_key})
    folder = store_study(tmp_path, [make_record(0), same])
    problems = [finding.problem for finding in examine(Patient(folder))["trials"]]
    assert problems == [f"trials 0 and 1 are the same run ({same.trial_key}), and a run counts once"]


def test_interrupted_trials_are_no_illness(tmp_path: Path) -> None:
    folder = store_study(tmp_path, [make_record(0), make_record(1, status=TrialStatus.RUNNING)])
    (finding,) = examine(Patient(folder))["trials"]
    assert finding.is_note
    assert finding.problem == "trial 1 began and did not end"
    assert "prunefront resume tiny" in finding.remedy


@pytest.mark.parametrize(
    ("reasons", "status"),
    [
        ((), "KILLED"),
        ((None,), "KILLED"),
        (("finished", None), "KILLED"),
        (("interrupted",), "KILLED"),
        (("failed",), "FAILED"),
        (("interrupted", "finished"), "FINISHED"),  # as when its time was up
    ],
)
def test_the_run_of_a_study_ends_as_its_last_driver_did(
    folder: StudyFolder, reasons: tuple[str | None, ...], status: str
) -> None:
    note_sessions(folder, *reasons)
    leave_the_study_running(folder)
    (finding,) = examine(Patient(folder))["mlflow"]
    assert finding.remedy == f"makes it {status}"
    assert finding.mend is not None
    finding.mend()
    assert said_of_the_study(folder) == status
    assert examine(Patient(folder))["mlflow"] == []


def test_a_study_whose_driver_was_killed_after_its_last_trial_is_finished(tmp_path: Path) -> None:
    folder = store_study(tmp_path, [make_record(0)], text=SPEC.replace("trials: 12", "trials: 1"))
    write_as_a_driver(folder)
    note_sessions(folder, None)
    (finding,) = examine(Patient(folder))["mlflow"]
    assert finding.remedy == "makes it FINISHED"


def test_mending_runs_of_trials_keeps_how_the_study_ended(folder: StudyFolder) -> None:
    note_sessions(folder, "finished")
    say_of_the_study(folder, "FINISHED")
    delete_a_run(folder)
    assert doctor(folder, "--mend").exit_code == 0
    assert said_of_the_study(folder) == "FINISHED"


def test_a_driver_that_was_killed_before_a_trial_ended_is_told(tmp_path: Path) -> None:
    folder = store_study(tmp_path, [make_record(0, status=TrialStatus.RUNNING)])
    assert examine(Patient(folder))["mlflow"] == []
    assert not (folder.root / "mlflow.db").exists()
    write_as_a_driver(folder)
    result = doctor(folder)
    assert result.exit_code == 1, result.output
    assert "the study's run is RUNNING, but no driver works on the study" in result.stdout
    assert doctor(folder, "--mend").exit_code == 0
    assert said_of_the_study(folder) == "KILLED"


def test_the_run_of_a_study_that_is_driven_may_go_on(folder: StudyFolder) -> None:
    leave_the_study_running(folder)
    hold_elsewhere(folder, pid=os.getppid(), host=socket.gethostname())
    assert examine(Patient(folder))["mlflow"] == []


def test_a_study_that_another_machine_may_drive_is_only_noted(folder: StudyFolder) -> None:
    leave_the_study_running(folder)
    hold_elsewhere(folder, pid=os.getppid(), host="elsewhere")
    found = doctor(folder)
    assert found.exit_code == 0, found.output
    assert (
        "note (mlflow): the study's run is RUNNING, and was last driven on elsewhere, where a" in found.stdout
    )
    assert doctor(folder, "--mend").exit_code == 0  # nobody holds the lock
    assert said_of_the_study(folder) == "KILLED"


@pytest.mark.parametrize("text", ['{"trial": 1}', "{"])
def test_a_pick_that_is_none_is_told(folder: StudyFolder, text: str) -> None:
    (folder.path / "picks.json").write_text(text)
    (finding,) = examine(Patient(folder))["picks"]
    assert "prunefront pick tiny --knee" in finding.remedy


def test_mlflow_is_written_anew_with_the_pick(folder: StudyFolder) -> None:
    assert runner.invoke(app, ["pick", "tiny", "--no-test", "--storage", str(folder.root)]).exit_code == 0
    client, before = mlflow_of(folder)
    folder.report_path.mkdir()
    result = doctor(folder, "--rebuild-mlflow")
    assert result.exit_code == 0, result.output
    assert "MLflow: 4 trials written anew" in result.stdout
    assert "logged there again by: prunefront report tiny" in result.stdout
    _, after = mlflow_of(folder)
    assert after["parent"] != before["parent"]
    assert set(after["runs"]) == set(before["runs"])
    assert not set(after["runs"].values()) & set(before["runs"].values())
    picked = client.get_run(after["parent"]).data.tags["picked.trial"]
    assert client.get_run(after["runs"][picked]).data.tags["picked"] == "true"


def test_a_study_that_is_driven_is_not_mended(folder: StudyFolder) -> None:
    with hold_study(folder):
        result = doctor(folder, "--mend")
    assert result.exit_code == 2
    assert "a study must have one driver" in result.stderr


def test_json_is_all_there_is(folder: StudyFolder) -> None:
    leave_half_a_file(folder)
    plain = json.loads(doctor(folder, "--json").stdout)
    assert plain["is_healthy"] is False
    assert [one["check"] for one in plain["findings"]] == ["leftovers"]
    assert plain["findings"][0]["can_be_mended"] is True
    mended = json.loads(doctor(folder, "--mend", "--json").stdout)
    assert mended["is_healthy"] is True
    assert len(mended["mended"]) == 1


def test_a_trial_whose_record_is_gone_on_with_counts_as_told_after_mending(folder: StudyFolder) -> None:
    forget_the_end_of_a_trial(folder)
    doctor(folder, "--mend")
    study = open_search_study(folder, Patient(folder).spec)
    assert [record.number for record in study.finished()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([7], "trial 7"),
        ([3, 1], "trials 1 and 3"),
        ([1, 2, 3], "trials 1, 2 and 3"),
        (list(range(12)), "12 trials (0, 1, 2, 3, 4, 5, 6, 7, ...)"),
    ],
)
def test_trials_are_named_shortly(found: list[int], text: str) -> None:
    assert numbers(found) == text
