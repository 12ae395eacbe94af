"""The driver of a study in PostgreSQL, with items run in this process, and the commands that read such a study."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.postgresql_server import PostgresqlServer
from pruning_core.errors import StorageError
from reports.records import TrialStatus
from search import driver
from search.cli import app
from search.database.lock import DatabaseLock, who_holds
from search.doctor import Patient, examine
from search.driver import SearchOutcome, run_search
from search.driver_presence import is_driven
from search.execution.ray_searcher import RaySearcher
from search.pick_book import read_picks
from search.spec import SearchSpec, dump_spec
from search.studies.earlier_studies import read_earlier_trials
from search.studies.folder import StudyFolder
from search.studies.reading import read_attributes
from search.studies.records import read_study
from search.studies.study import open_search_study
from tests.reports_tests.synthetic import make_record
from tests.search_tests.driver_in_process import replace_seams, run_in_process
from tests.search_tests.stored_studies import SPEC, store_study
from tests.search_tests.synthetic_backend import FACTORY
from tests.search_tests.synthetic_search import make_spec

WIDE = {"budgets.macs": {"low": 0.3, "high": 0.9}}
runner = CliRunner()


@pytest.fixture(autouse=True)
def seams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Ray, no MLflow, no waiting."""
    replace_seams(monkeypatch, tmp_path)


def spec_in(url: str, **changes: Any) -> SearchSpec:
    return make_spec(search=WIDE, storage={"optuna": url}, **{"limits": {"trials": 5}, **changes})


def search(root: Path, spec: SearchSpec, *, resume: bool = False) -> SearchOutcome:
    console = Console(file=io.StringIO(), width=200)
    return run_search(spec, StudyFolder(root, spec.study), resume=resume, console=console, backend=FACTORY)


def at_steps(happenings: Mapping[int, Callable[[], object]]) -> Callable[..., None]:
    """Run items in this process, and let something happen before some of the driver's steps."""

    def run(searcher: RaySearcher, *, on_step: Callable[[], None], **rest: Any) -> None:
        steps = itertools.count()

        def step() -> None:
            happenings.get(next(steps), lambda: None)()
            on_step()

        run_in_process(searcher, on_step=step, **rest)

    return run


def test_a_search_ends_with_all_its_trials_and_lets_go_of_its_study(
    tmp_path: Path, database_url: str
) -> None:
    outcome = search(tmp_path, spec_in(database_url))
    folder = StudyFolder(tmp_path, "demo")
    assert (outcome.num_complete, outcome.num_failed) == (5, 0)
    assert read_study(folder).records == outcome.study.records
    assert not folder.journal_path.exists()
    assert who_holds(database_url, "demo") is None
    assert search(tmp_path, spec_in(database_url, limits={"trials": 7}), resume=True).num_complete == 7


def test_a_server_that_restarts_on_the_way_only_delays_the_search(
    tmp_path: Path, database_url: str, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    holders = []

    def restart() -> None:
        postgresql.restart()
        assert who_holds(database_url, "demo") is None

    def look() -> None:
        holders.append(who_holds(database_url, "demo"))

    monkeypatch.setattr(driver, "run_items", at_steps({4: restart, 10: look}))
    assert search(tmp_path, spec_in(database_url)).num_complete == 5
    assert [holder is not None for holder in holders] == [True]


def test_a_driver_whose_study_was_taken_over_ends_and_writes_no_more(
    tmp_path: Path, database_url: str, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[DatabaseLock] = []

    def take_over() -> None:
        postgresql.restart()
        taken.append(DatabaseLock(database_url, "demo"))

    monkeypatch.setattr(driver, "run_items", at_steps({6: take_over}))
    with pytest.raises(StorageError, match="a study must have one driver, but 'demo' is held by process"):
        search(tmp_path, spec_in(database_url))
    taken[0].close()
    monkeypatch.setattr(driver, "run_items", run_in_process)
    assert search(tmp_path, spec_in(database_url), resume=True).num_complete == 5


def test_a_second_driver_is_refused_from_any_folder_and_nothing_is_written(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, refused = spec_in(database_url), []

    def begin_elsewhere() -> None:
        assert is_driven(StudyFolder(tmp_path / "one", "demo"))
        for root, resume, problem in (
            (tmp_path / "two", False, "a new study must have a new name, but .* holds 'demo' already"),
            (tmp_path / "one", True, "a study must have one driver, but 'demo' is held by process"),
        ):
            with pytest.raises(StorageError, match=problem):
                search(root, spec, resume=resume)
            refused.append(root)

    monkeypatch.setattr(driver, "run_items", at_steps({2: begin_elsewhere}))
    assert search(tmp_path / "one", spec).num_complete == 5
    assert len(refused) == 2
    assert not (tmp_path / "two").exists()


def test_a_study_that_another_driver_is_about_to_begin_is_refused_with_nothing_written(
    tmp_path: Path, database_url: str
) -> None:
    lock = DatabaseLock(database_url, "demo")
    with pytest.raises(StorageError, match="'demo' is held by process"):
        search(tmp_path / "results", spec_in(database_url))
    assert not (tmp_path / "results").exists()
    lock.close()


def test_a_folder_does_not_go_on_with_a_study_that_was_launched_elsewhere(
    tmp_path: Path, database_url: str
) -> None:
    """As when a driver died before it began, and another launched the name meanwhile."""
    spec = spec_in(database_url)
    early = StudyFolder(tmp_path / "early", "demo")
    early.create(dump_spec(spec), "0123")
    search(tmp_path / "late", spec)
    with pytest.raises(
        StorageError, match=r"must be the one that was launched in .*/early/demo, but was launched else"
    ):
        search(tmp_path / "early", spec, resume=True)
    late = StudyFolder(tmp_path / "late", "demo")
    assert late.identity == read_attributes(late)["id"]
    assert search(tmp_path / "late", spec, resume=True).num_complete == 5


def test_a_database_that_is_not_there_is_told_of_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"must let us in, but: .* look whether its server runs"):
        search(tmp_path / "results", spec_in("postgresql+psycopg://me@127.0.0.1:1/studies"))
    assert not (tmp_path / "results").exists()


def test_a_study_with_a_journal_is_not_begun_again_in_a_database(tmp_path: Path, database_url: str) -> None:
    search(tmp_path, make_spec(search=WIDE, limits={"trials": 2}))
    with pytest.raises(
        StorageError, match=r"trials must be kept in one place, but .*study.journal holds some"
    ):
        search(tmp_path, spec_in(database_url), resume=True)


@pytest.fixture
def stored(tmp_path: Path, database_url: str) -> StudyFolder:
    """A study of three trials, one of which is running."""
    records = [
        make_record(0),
        make_record(1, status=TrialStatus.FAILED),
        make_record(2, status=TrialStatus.RUNNING),
    ]
    return store_study(tmp_path, records, text=SPEC + f"storage: {{optuna: '{database_url}'}}\n")


def test_status_and_pick_read_the_database(stored: StudyFolder) -> None:
    status = runner.invoke(app, ["status", "tiny", "--json", "--storage", str(stored.root)])
    assert status.exit_code == 0, status.output
    told = json.loads(status.stdout)
    assert told["trials"] == {"complete": 1, "failed": 1, "running": 1}
    assert told["is_running"] is False
    picked = runner.invoke(app, ["pick", "tiny", "--no-test", "--storage", str(stored.root)])
    assert picked.exit_code == 0, picked.output
    assert read_picks(stored)[0]["trial"] == 0


def test_status_says_that_the_server_is_away(stored: StudyFolder, postgresql: PostgresqlServer) -> None:
    postgresql.stop()
    status = runner.invoke(app, ["status", "tiny", "--storage", str(stored.root)])
    assert status.exit_code == 2
    assert status.stderr.startswith("error: the database postgresql+psycopg://postgres@127.0.0.1")
    assert len(status.stderr.splitlines()) == 1


def test_the_doctor_finds_nothing_but_what_is_running(stored: StudyFolder) -> None:
    found = examine(Patient(stored))
    assert found["log"] == []
    (note,) = found["trials"]
    assert note.is_note
    assert note.problem == "trial 2 began and did not end"


def test_the_doctor_tells_optuna_of_a_record_that_was_only_written(
    stored: StudyFolder, postgresql: PostgresqlServer, database_url: str
) -> None:
    forget = "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL WHERE number = 0"
    postgresql.execute(forget, database_url.rpartition("/")[2])
    finding = examine(Patient(stored))["trials"][0]
    assert finding.problem.startswith("trial 0: written down, but the driver was stopped")
    assert finding.mend is not None
    finding.mend()
    assert [record.number for record in open_search_study(stored, Patient(stored).spec).finished()] == [1, 0]


def test_the_doctor_waits_for_a_driver_of_another_folder(stored: StudyFolder, database_url: str) -> None:
    lock = DatabaseLock(database_url, "tiny")
    try:
        assert is_driven(stored)
        mended = runner.invoke(app, ["doctor", "tiny", "--mend", "--storage", str(stored.root)])
    finally:
        lock.close()
    assert mended.exit_code == 2
    assert "a study must have one driver, but 'tiny' is held by process" in mended.stderr


def test_the_doctor_says_that_the_server_is_away(stored: StudyFolder, postgresql: PostgresqlServer) -> None:
    postgresql.stop()
    found = examine(Patient(stored))
    assert list(found) == ["log"]
    assert found["log"][0].remedy == "look whether the database's server runs"


def test_the_doctor_notes_a_study_that_was_launched_and_never_began(
    tmp_path: Path, database_url: str
) -> None:
    folder = StudyFolder(tmp_path, "tiny")
    folder.create(SPEC + f"storage: {{optuna: '{database_url}'}}\n")
    (note,) = examine(Patient(folder))["log"]
    assert note.problem == f"the study is not in {database_url}: the driver was stopped before it began"


def test_trials_in_a_database_can_be_learned_from(stored: StudyFolder) -> None:
    plain = {"study": "later", "storage": {"path": str(stored.root)}, "sampler": {"learn_from": ["tiny"]}}
    config = make_record(0).config
    search_space = {
        "budgets.macs": {"low": 0.01, "high": 1.0},
        "saliency.num_basis": {"choices": [1, 2, 3, 4]},
    }
    later = SearchSpec.model_validate({**plain, "run": config, "search": search_space})
    found = read_earlier_trials(later)
    assert len(found.trials) == 1
    assert found.notes[0].startswith("1 trial of 1 of tiny")
