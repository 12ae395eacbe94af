"""``prunefront status`` and ``report`` on studies that are on disk."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from reports.fronts import find_front
from reports.records import TrialStatus
from search.cli import app
from search.driver_presence import is_driven
from search.studies.folder import StudyFolder
from search.studies.status import StudyStatus, status_lines
from search.timeline import Timeline
from tests.reports_tests.synthetic import make_record, make_study, staircase, stopped_at, study_of
from tests.search_tests.stored_studies import SPEC, store_study

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

runner = CliRunner()

MIXED = [
    TrialStatus.COMPLETE,
    TrialStatus.COMPLETE,
    TrialStatus.FAILED,
    TrialStatus.INFEASIBLE,
    TrialStatus.RUNNING,
    TrialStatus.COMPLETE,
]


@pytest.fixture
def mixed(tmp_path: Path) -> StudyFolder:
    return store_study(tmp_path, [make_record(number, status=status) for number, status in enumerate(MIXED)])


def status(folder: StudyFolder, *options: str) -> Result:
    return runner.invoke(app, ["status", folder.study, "--storage", str(folder.root), *options])


def test_status_shows_counts_front_reasons_and_how_to_go_on(mixed: StudyFolder) -> None:
    result = status(mixed)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "study tiny: 4 of 12 trials (3 complete, 1 infeasible, 1 failed, 1 running)"
    assert lines[2].startswith("trial  accuracy")
    assert lines[3].startswith("dense")
    assert any(line.startswith("failed (1, such as trial 2): NonFiniteLossError") for line in lines)
    assert any(line.startswith("infeasible (1, such as trial 3): the narrowest network") for line in lines)
    assert lines[-1] == f"not running; go on with: prunefront resume tiny --storage {mixed.root}"


def test_status_shows_who_was_stopped_and_how_far_trials_came(tmp_path: Path) -> None:
    first, second = stopped_at(make_record(1), 1, 3), stopped_at(make_record(2), 1)
    folder = store_study(tmp_path, [make_record(0), first, second])
    lines = status(folder).stdout.splitlines()
    assert lines[0] == "study tiny: 3 of 12 trials (1 complete, 2 stopped)"
    assert lines[1] == "rungs: 2 trials at epoch 1, 1 at epoch 3"
    assert "stopped (1, such as trial 1): not among the best 1/3 of its rung after 3 of 9 epochs" in lines
    assert sum(line.startswith(("1 ", "2 ")) for line in lines) == 1  # the front's own line, of one network
    assert json.loads(status(folder, "--json").stdout)["rungs"] == {"1": 2, "3": 1}


def test_status_as_json_is_all_there_is_on_stdout(mixed: StudyFolder) -> None:
    found = json.loads(status(mixed, "--json").stdout)
    assert (found["trials_wanted"], found["trials_counted"], found["is_running"]) == (12, 4, False)
    assert found["trials"] == {"complete": 3, "failed": 1, "infeasible": 1, "running": 1}
    assert {one["trial"] for one in found["front"]} <= {0, 1, 5}
    assert {one["trial"]: one["status"] for one in found["reasons"]} == {2: "failed", 3: "infeasible"}
    assert 0 < found["hypervolume"] < 1


def test_status_of_a_study_without_trials_says_so(tmp_path: Path) -> None:
    result = status(store_study(tmp_path, []))
    assert result.exit_code == 0
    assert result.stdout.startswith("study tiny: 0 of 12 trials (none yet)\n\nno network is on the front yet")


def test_status_reads_a_journal_whose_last_line_is_torn(mixed: StudyFolder) -> None:
    with mixed.journal_path.open("ab") as journal:
        journal.write(b'{"op_code": 5, "trial')
    assert json.loads(status(mixed, "--json").stdout)["trials_counted"] == 4


def test_status_needs_no_object_store_and_a_pick_says_what_is_wrong_with_it(
    tmp_path: Path, object_store: ObjectStore
) -> None:
    record = make_record(0).model_copy(update={"artifact_keys": {"dense": "d" * 24, "fine_tune": "f" * 24}})
    text = SPEC + f"storage: {{artifacts: '{object_store.new_address()}'}}\n"
    folder = store_study(tmp_path, [record], text=text)
    object_store.fault = lambda _: "403 Forbidden"
    assert status(folder).exit_code == 0
    assert object_store.requests == []
    refused = runner.invoke(app, ["pick", folder.study, "--knee", "--storage", str(folder.root)])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: the artifact store s3://results/")
    assert "may list, read, write and delete there" in refused.stderr


def test_a_search_that_ended_before_its_limit_says_why(mixed: StudyFolder) -> None:
    Timeline(mixed.timeline_path).end_session(reason="finished", why_early="all 4 configurations were tried")
    said = status(mixed).stdout.splitlines()[-1]
    assert said == "not running; ended before limits.trials was reached: all 4 configurations were tried"
    assert json.loads(status(mixed, "--json").stdout)["why_early"] == "all 4 configurations were tried"


def test_status_writes_nothing(mixed: StudyFolder) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in mixed.root.rglob("*") if path.is_file()}

    before = content()
    status(mixed)
    assert content() == before


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        ({"pid": os.getpid(), "host": socket.gethostname()}, True),
        ({"pid": 2**22 + 1, "host": socket.gethostname()}, False),
        ({"pid": os.getpid(), "host": "elsewhere"}, False),
        ({}, False),
        ([], False),
    ],
)
def test_a_study_is_driven_while_the_process_that_locked_it_lives(
    mixed: StudyFolder, holder: object, expected: bool
) -> None:
    mixed.lock_path.write_text(json.dumps(holder))
    assert is_driven(mixed) is expected


def test_a_study_that_was_never_locked_is_not_driven(mixed: StudyFolder) -> None:
    assert not is_driven(mixed)


def test_the_time_left_follows_the_pace_so_far() -> None:
    study = study_of(staircase(10)).model_copy(update={"created_at": 0.0, "updated_at": 500.0})
    running = StudyStatus(front=find_front(study), num_wanted=16, is_running=True, resume_command="")
    assert running.seconds_left == 300
    assert status_lines(running)[-1] == "running; about 5 min 0 s left"


def test_a_study_with_all_its_trials_is_finished() -> None:
    front = find_front(make_study(12))
    finished = StudyStatus(front=front, num_wanted=12, is_running=False, resume_command="")
    assert status_lines(finished)[-1] == "finished"
    assert finished.seconds_left is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the libraries below MLflow deprecate each other
def test_a_report_is_a_page_tables_and_figures_also_in_mlflow(mixed: StudyFolder) -> None:
    result = runner.invoke(app, ["report", "tiny", "--storage", str(mixed.root)])
    assert result.exit_code == 0, result.output
    written = [Path(line) for line in result.stdout.split()]
    assert written[0] == mixed.report_path / "report.html"
    assert set(written) == {path for path in mixed.report_path.rglob("*") if path.is_file()}
    assert len((mixed.report_path / "trials.csv").read_text().splitlines()) == 1 + len(MIXED)
    assert "no complete trial of this study trained one" in written[0].read_text()
    (copy,) = (mixed.root / "mlruns").rglob("report")
    for path in written:
        assert (copy / path.relative_to(mixed.report_path)).read_bytes() == path.read_bytes()


REPORT_THAT_WATCHES_IMPORTS = """
import importlib.abc
import os
import sys

class Watcher(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "mlflow":
            print("mlflow meets", os.environ.get("MLFLOW_DISABLE_TELEMETRY"))
        return None

sys.meta_path.insert(0, Watcher())
from search.cli import app
app(["report", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_a_report_imports_mlflow_with_its_telemetry_off(mixed: StudyFolder) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", REPORT_THAT_WATCHES_IMPORTS, mixed.study, "--storage", str(mixed.root)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert "mlflow meets true" in done.stdout.splitlines()
    assert "mlflow meets None" not in done.stdout
    assert (mixed.root / "mlflow.db").is_file()
