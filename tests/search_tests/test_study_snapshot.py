"""What is read of a study's log without Optuna is what Optuna reads."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from pruning_core.errors import StorageError
from reports.records import TrialRecord
from search.study import open_search_study
from search.study_folder import StudyFolder
from search.study_journal import read_journal
from search.study_snapshot import RECORD, STARTED_AT, read_attributes, read_snapshot
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


@pytest.fixture
def searched(tmp_path: Path) -> StudyFolder:
    """A study with halving, enqueued and refused proposals, stopped halfway."""
    spec = make_spec(
        search={"budgets.macs": {"choices": [0.1, 0.4, 0.6]}, "saliency.num_basis": {"choices": [1, 2]}},
        halving={"rule": "promotion", "eta": 2},
        run={
            "budgets": {"macs": 0.5},
            "gates": {"steps": 1},
            "saliency": {"selector": {"epochs": 1}},
            "fine_tuning": {"epochs": 4},
        },
        first=[{"budgets.macs": 0.6}],
        limits={"trials": 6},
    )
    folder = make_folder(tmp_path, spec)
    SyntheticSearch(spec, folder, slots=3, seed=1).run(9)
    return folder


def optuna_study(folder: StudyFolder) -> optuna.Study:
    storage = read_journal(folder)
    assert storage is not None
    return optuna.load_study(study_name=folder.study, storage=storage)


def test_records_attributes_and_started_trials_are_those_that_optuna_reads(searched: StudyFolder) -> None:
    study, snapshot = optuna_study(searched), read_snapshot(searched)
    trials = study.get_trials()
    recorded = sorted(
        (trial for trial in trials if RECORD in trial.user_attrs and trial.datetime_complete),
        key=lambda trial: (trial.datetime_complete, trial.number),
    )
    assert list(snapshot.records) == [TrialRecord.model_validate(one.user_attrs[RECORD]) for one in recorded]
    assert snapshot.attributes == study.user_attrs
    assert read_attributes(searched) == study.user_attrs
    running = [one for one in trials if one.state is TrialState.RUNNING and STARTED_AT in one.user_attrs]
    assert [asked.number for asked, _ in snapshot.started] == [one.number for one in running]
    assert [key for _, key in snapshot.started] == [one.user_attrs["trial_key"] for one in running]
    assert any(asked.rungs for asked, _ in snapshot.started)
    assert len(snapshot.records) > 1
    assert len(running) > 0


def test_a_record_that_was_written_and_not_told_counts_and_comes_last(tmp_path: Path) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder)
    search.run()
    lines = folder.journal_path.read_bytes().split(b"\n")[:-1]
    told = [index for index, line in enumerate(lines) if json.loads(line)["op_code"] == 6]
    first_told = next(index for index in told if json.loads(lines[index])["trial_id"] == 0)
    del lines[first_told]
    folder.journal_path.write_bytes(b"\n".join(lines) + b"\n")
    assert read_snapshot(folder).records[-1].number == 0
    assert read_snapshot(folder).started == ()
    assert {one.number for one in open_search_study(folder, spec).finished()} == set(range(1, 12))


def test_a_line_that_is_being_written_is_left_out(searched: StudyFolder) -> None:
    before = read_snapshot(searched)
    with searched.journal_path.open("ab") as file:
        file.write(b'{"op_code":2,"worker_id":"w","study_id":0,"user_at')
    assert read_snapshot(searched) == before


def test_operations_spelt_otherwise_are_read_too(searched: StudyFolder) -> None:
    before = read_snapshot(searched)
    spelt = [
        json.dumps(dict(reversed(json.loads(line).items())))
        for line in searched.journal_path.read_text().splitlines()
    ]
    searched.journal_path.write_text("\n".join(spelt) + "\n")
    assert read_snapshot(searched) == before
    assert read_attributes(searched) == before.attributes


def test_a_log_that_is_spoilt_inside_is_named(searched: StudyFolder) -> None:
    with searched.journal_path.open("ab") as file:
        file.write(b'{"op_code":2,"wor\n')
    with pytest.raises(
        StorageError, match=r"study.journal must hold a line of JSON per operation, but one cannot"
    ):
        read_snapshot(searched)
    with pytest.raises(StorageError, match=r"study.journal must hold a line of JSON per operation"):
        read_attributes(searched)


def test_reading_leaves_garbage_collection_as_it_was(searched: StudyFolder) -> None:
    for is_enabled in (True, False):
        (gc.enable if is_enabled else gc.disable)()
        try:
            read_snapshot(searched)
            assert gc.isenabled() is is_enabled
        finally:
            gc.enable()
