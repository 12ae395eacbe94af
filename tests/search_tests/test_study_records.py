from __future__ import annotations

import json
from pathlib import Path

import pytest

from pruning_core.errors import StorageError
from reports.objectives import Direction
from reports.records import TrialStatus
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.work_items import ItemKind
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


def test_a_study_reads_back_as_it_was_told(tmp_path: Path) -> None:
    spec = make_spec(constraints={"params": "<= 50%"})
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder)
    search.study.note({"id": "x", "created_at": 5.0, "version": "9.9", "machine": {"num_cpus": 2}})
    search.run()
    study = read_study(folder)
    assert sorted(record.number for record in study.records) == list(range(12))
    assert {record.number: record for record in study.records} == {
        record.number: record for record in search.records
    }
    assert (study.study, study.created_at, study.version) == ("demo", 5.0, "9.9")
    assert study.machine == {"num_cpus": 2}
    assert study.constraints == {"params": "<= 50%"}
    assert study.objectives["macs"] is Direction.MINIMIZE
    assert study.updated_at == max(record.finished_at or 0 for record in study.records)


def test_finished_trials_come_in_the_order_in_which_they_finished(tmp_path: Path) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=4, seed=2)
    search.run()
    told = [record.number for record in search.records]
    assert told != sorted(told)
    assert [record.number for record in read_study(folder).records] == told
    assert [record.number for record in search.study.finished()] == told


def test_running_trials_are_shown_and_waiting_ones_are_not(tmp_path: Path) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=2)
    while not any(item.kind is ItemKind.TRIAL for item in search.running):
        search.step()
        search.fill_slots()
    running = {item.number for item in search.running if item.kind is ItemKind.TRIAL}
    records = [record for record in read_study(folder).records if record.status is TrialStatus.RUNNING]
    assert {record.number for record in records} == running
    assert all(record.started_at is not None and record.varied for record in records)


def test_a_study_without_trials_reads_as_empty(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, make_spec())
    study = read_study(folder)
    assert study.records == ()
    assert study.updated_at == study.created_at


def test_links_to_mlflow_come_from_what_the_writer_noted(tmp_path: Path) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    SyntheticSearch(spec, folder).run()
    content = {"parent": "p", "url_base": "http://mlflow:5000/#/experiments/1/runs", "runs": {"0": "abc"}}
    folder.mlflow_runs_path.write_text(json.dumps(content))
    url = "http://mlflow:5000/#/experiments/1/runs/abc?workflowType=machine_learning"
    assert read_study(folder).run_url(0) == url


def test_reading_changes_nothing(tmp_path: Path) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    SyntheticSearch(spec, folder).run(6)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    read_study(folder)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_a_study_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="has no 'nothing'"):
        read_study(StudyFolder(tmp_path, "nothing"))
