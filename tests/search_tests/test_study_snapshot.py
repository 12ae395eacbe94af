"""What is read of a study's log without Optuna is what Optuna reads."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.postgresql_server import PostgresqlServer
from pruning_core.errors import StorageError
from reports.records import TrialRecord
from search.database.snapshot import read_parts
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.reading import read_attributes, read_snapshot
from search.studies.snapshot import RECORD, STARTED_AT
from search.studies.storage import read_storage
from search.studies.study import open_search_study
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


def halving_spec(**changes: Any) -> SearchSpec:
    """A search with halving, enqueued and refused proposals."""
    return make_spec(
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
        **changes,
    )


def stopped_halfway(root: Path, spec: SearchSpec) -> StudyFolder:
    folder = make_folder(root, spec)
    search = SyntheticSearch(spec, folder, slots=3, seed=1)
    search.study.note({"id": "x", "created_at": 0.0})
    search.run(9)
    return folder


@pytest.fixture
def searched(tmp_path: Path) -> StudyFolder:
    """A study in a journal, stopped halfway."""
    return stopped_halfway(tmp_path, halving_spec())


@pytest.fixture
def searched_in_database(tmp_path: Path, database_url: str) -> StudyFolder:
    """The same search with its study in a database, behind another one in it."""
    other = make_spec(study="other", storage={"optuna": database_url}, limits={"trials": 2})
    SyntheticSearch(other, make_folder(tmp_path, other)).run()
    return stopped_halfway(tmp_path / "database", halving_spec(storage={"optuna": database_url}))


def optuna_study(folder: StudyFolder) -> optuna.Study:
    storage = read_storage(folder)
    assert storage is not None
    return optuna.load_study(study_name=folder.study, storage=storage)


@pytest.mark.parametrize("place", ["searched", "searched_in_database"])
def test_records_attributes_and_started_trials_are_those_that_optuna_reads(
    request: pytest.FixtureRequest, place: str
) -> None:
    searched = request.getfixturevalue(place)
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


def test_a_database_says_what_the_journal_of_the_same_search_says(
    searched: StudyFolder, searched_in_database: StudyFolder
) -> None:
    journal, database = read_snapshot(searched), read_snapshot(searched_in_database)
    assert timeless(database.records) == timeless(journal.records)
    assert database.untold == journal.untold
    assert database.attributes == journal.attributes
    assert [(one.number, one.values, one.is_waiting, key) for one, key in database.started] == [
        (one.number, one.values, one.is_waiting, key) for one, key in journal.started
    ]
    assert [[rung.epochs for rung in one.rungs] for one, _ in database.started] == [
        [rung.epochs for rung in one.rungs] for one, _ in journal.started
    ]
    assert len(database.records) > 1


def timeless(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """What does not depend on when, and for how long, trials ran."""
    times = {"started_at", "finished_at", "seconds", "rungs"}
    return [record.model_dump(exclude=times) for record in records]


def test_times_in_a_database_are_those_of_the_clock(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        before = time.time()
        spec = make_spec(storage={"optuna": database_url}, limits={"trials": 3})
        folder = make_folder(tmp_path, spec)
        SyntheticSearch(spec, folder).run()
        parts = read_parts(database_url, folder.study)
        assert len(parts.ended_at) == 3
        assert all(before <= ended_at <= time.time() for ended_at in parts.ended_at.values())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_record_that_is_none_of_ours_is_named(
    postgresql: PostgresqlServer, searched_in_database: StudyFolder, database_url: str
) -> None:
    spoil = "UPDATE trial_user_attributes SET value_json = '{}' WHERE key = 'record'"
    postgresql.execute(spoil, database_url.rpartition("/")[2])
    with pytest.raises(
        StorageError, match=r"the record of trial \d+ of 'demo' in postgresql.* must be one of ours"
    ):
        read_snapshot(searched_in_database)


def test_a_study_that_has_not_begun_is_empty(tmp_path: Path, database_url: str) -> None:
    folder = make_folder(tmp_path, make_spec(storage={"optuna": database_url}))
    assert read_snapshot(folder).records == ()
    assert read_attributes(folder) == {}
    assert read_storage(folder) is None


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
