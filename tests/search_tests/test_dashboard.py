"""optuna-dashboard over studies on disk, asked over HTTP as its pages ask."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from benchmarks.postgresql_server import PostgresqlServer
from reports.records import TrialStatus
from search.dashboard import LiveDashboard, start_dashboard
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.study import open_search_study
from tests.reports_tests.synthetic import make_record
from tests.search_tests.stored_studies import SPEC, store_study

pytest.importorskip("optuna_dashboard", reason="needs the extra prunefront[dashboard]")

STATUSES = (TrialStatus.COMPLETE, TrialStatus.COMPLETE, TrialStatus.FAILED, TrialStatus.RUNNING)


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A study of four trials, one of which is running."""
    return store_study(tmp_path, [make_record(number, status=one) for number, one in enumerate(STATUSES)])


@pytest.fixture
def address(study: StudyFolder) -> Iterator[str]:
    """Where the dashboard answers."""
    server = start_dashboard(study.root, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(address: str, *, method: str = "GET") -> Any:
    request = urllib.request.Request(address, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_study_is_shown_with_its_trials_directions_and_objective_names(address: str) -> None:
    (summary,) = ask(f"{address}/api/studies")["study_summaries"]
    assert summary["study_name"] == "tiny"
    assert summary["directions"] == ["maximize", "minimize", "minimize"]
    detail = ask(f"{address}/api/studies/{summary['study_id']}?after=0")
    assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Complete", "Fail", "Running"]
    assert detail["objective_names"] == ["accuracy", "macs", "params"]
    assert {trial["number"] for trial in detail["best_trials"]} <= {0, 1}
    record = make_record(0)
    assert record.scores is not None
    shown = detail["trials"][0]
    assert [float(value) for value in shown["values"]] == [
        record.scores.accuracy,
        record.scores.macs,
        record.scores.params,
    ]
    attributes = {one["key"]: one["value"] for one in shown["user_attrs"]}
    assert record.method in attributes["method"]
    assert float(attributes["macs_share"]) == pytest.approx(record.scores.macs_share)
    assert "record" not in attributes


def test_the_page_itself_is_served(address: str) -> None:
    with urllib.request.urlopen(f"{address}/dashboard/", timeout=30) as answer:
        assert "<title>Optuna Dashboard</title>" in answer.read().decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_would_change_a_study_is_refused_and_its_journal_stays(
    study: StudyFolder, address: str, method: str
) -> None:
    before = study.journal_path.read_bytes()
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{address}/api/studies/0", method=method)
    assert refused.value.code == 405
    assert "read-only" in json.load(refused.value)["reason"]
    assert study.journal_path.read_bytes() == before
    assert len(ask(f"{address}/api/studies")["study_summaries"]) == 1


def answer_of(dashboard: LiveDashboard, path: str) -> Any:
    """Ask without a server."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    setup_testing_defaults(environ)
    return json.loads(b"".join(dashboard(environ, lambda *_: lambda _: None)))


def test_new_trials_and_new_studies_appear_and_studies_keep_their_places(
    study: StudyFolder, tmp_path: Path
) -> None:
    dashboard = LiveDashboard(study.root, shortest_life_s=0.0)
    assert len(answer_of(dashboard, "/api/studies/0")["trials"]) == 4
    store_study(tmp_path, [make_record(0)], text=SPEC.replace("tiny", "earlier-in-the-alphabet"))
    assert len(answer_of(dashboard, "/api/studies/0")["trials"]) == 4
    assert len(answer_of(dashboard, "/api/studies/1")["trials"]) == 1
    names = [one["study_name"] for one in answer_of(dashboard, "/api/studies")["study_summaries"]]
    assert sorted(names) == ["earlier-in-the-alphabet", "tiny"]


def test_a_study_in_a_database_is_shown_with_what_is_new_and_a_server_that_is_away_is_told_of(
    tmp_path: Path, postgresql: PostgresqlServer, database_url: str
) -> None:
    records = [make_record(number, status=one) for number, one in enumerate(STATUSES)]
    stored = store_study(tmp_path, records, text=SPEC + f"storage: {{optuna: '{database_url}'}}\n")
    dashboard = LiveDashboard(stored.root, shortest_life_s=0.0)
    states = [trial["state"] for trial in answer_of(dashboard, "/api/studies/0")["trials"]]
    assert states == ["Complete", "Complete", "Fail", "Running"]
    study = open_search_study(stored, load_spec(stored.spec_path))
    (asked,) = study.adopt()
    study.tell(make_record(asked.number).model_copy(update={"study": "tiny"}))
    states = [trial["state"] for trial in answer_of(dashboard, "/api/studies/0")["trials"]]
    assert states == ["Complete", "Complete", "Fail", "Complete"]
    postgresql.stop()
    assert answer_of(dashboard, "/api/studies/0")["reason"].startswith("the database postgresql+psycopg://")
