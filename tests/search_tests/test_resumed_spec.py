"""``prunefront resume STUDY limits.trials=80``: what a study may change while it goes on, and that it stays changed."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pruning_core.errors import InvalidSettingsError
from reports.records import TrialRecord, TrialStatus
from search.cli import app
from search.commands.launch import resume_study
from search.commands.resumed_spec import load_resumed_spec
from search.driver import SearchOutcome, run_search
from search.overrides import find_changes
from search.spec import SearchSpec, dump_spec, load_spec
from search.studies.folder import StudyFolder
from search.timeline import Timeline
from tests.reports_tests.synthetic import make_record, staircase
from tests.search_tests.driver_in_process import replace_seams
from tests.search_tests.stored_studies import SPEC, store_study
from tests.search_tests.synthetic_backend import FACTORY
from tests.search_tests.synthetic_search import make_spec
from tests.search_tests.test_commands_launch import FakeEngine, write_only

WIDE: dict[str, Any] = {"budgets.macs": {"low": 0.1, "high": 0.9}}
WHOLE, CUT = 9, 10
"""Limits at which a batch of `reproducible_spec` ends, and at which it does not; the sampler has begun to learn."""
runner = CliRunner()


def refusal(folder: StudyFolder, *overrides: str) -> str:
    """Return why the study cannot go on so, and see that nothing was written."""
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(InvalidSettingsError) as refused:
        load_resumed_spec(folder, overrides)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    return str(refused.value)


# ---- what may change


def test_limits_and_resources_may_change_and_the_rest_stays(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(4))
    spec = load_resumed_spec(folder, ["limits.trials=80", "limits.hours=3", "resources.slots=2"])
    assert (spec.limits.trials, spec.limits.hours, spec.resources.slots) == (80, 3.0, 2)
    known = load_spec(folder.spec_path)
    assert spec.model_copy(update={"limits": known.limits, "resources": known.resources}) == known


@pytest.mark.parametrize(
    ("override", "key", "came"),
    [
        ("run.seed=3", "run.seed", "must stay 0 for the trials of a study to be comparable, but got 3"),
        ("search.budgets.macs={low: 0.1, high: 0.8}", "search.budgets.macs.low", "must stay 0.3"),
        ("sampler.name=random", "sampler.name", "but got random"),
        ("storage.path=elsewhere", "storage.path", "but got elsewhere"),
        ("study=other", "study", "must stay tiny"),
    ],
)
def test_what_would_make_it_another_study_is_refused_with_what_may_change_and_what_to_do(
    tmp_path: Path, override: str, key: str, came: str
) -> None:
    message = refusal(store_study(tmp_path, staircase(4)), "limits.trials=80", override)
    assert message.startswith(f"command line: '{key}' must stay ")
    assert came in message
    for name in ("limits.trials", "limits.hours", "limits.memory_retries", "resources.slots"):
        assert name in message
    assert "Launch a new study for the rest: study=NAME, and sampler.learn_from=[tiny]" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("limits.trails=80", "command line: 'limits.trails': unknown key. Did you mean trials?"),
        ("limits.trials", "an override must look like run.seed=3, but got 'limits.trials'"),
        (
            "limits.trials=0",
            "command line: 'limits.trials': input should be greater than or equal to 1, but got 0",
        ),
    ],
)
def test_a_mistake_is_answered_as_a_launch_answers_it(tmp_path: Path, override: str, message: str) -> None:
    assert message in refusal(store_study(tmp_path, staircase(4)), override)


def test_a_key_that_is_set_to_what_it_was_changes_nothing(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(4))
    assert load_resumed_spec(folder, ["study=tiny", "limits.trials=12"]) == load_spec(folder.spec_path)


def test_changes_are_found_in_every_section() -> None:
    before = {"a": 1, "b": {"c": 1, "d": {"e": 2}}, "f": [1]}
    after = {"a": 1, "b": {"c": 2, "d": {"e": 2, "g": 3}}, "f": []}
    assert find_changes(before, after) == {"b.c": (1, 2), "b.d.g": (None, 3), "f": ([1], [])}
    assert find_changes(before, before) == {}


# ---- what is done already


def records_of(*statuses: TrialStatus) -> list[TrialRecord]:
    return [make_record(number, status=status) for number, status in enumerate(statuses)]


def test_a_limit_below_what_is_done_or_begun_says_so(tmp_path: Path) -> None:
    complete, infeasible, running = TrialStatus.COMPLETE, TrialStatus.INFEASIBLE, TrialStatus.RUNNING
    folder = store_study(tmp_path, records_of(complete, complete, infeasible, complete, running))
    assert refusal(folder, "limits.trials=3") == (
        "command line: 'limits.trials' must be at least 4, because 3 are done already and 1 begun, but got 3"
    )
    assert load_resumed_spec(folder, ["limits.trials=4"]).limits.trials == 4


def test_hours_that_have_passed_already_are_refused(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(2))
    folder.timeline_path.write_text(
        '{"event": "session", "at": 0.0, "slots": 1, "pid": 1}\n{"event": "end", "at": 5400.0, "reason": "finished"}\n'
    )
    message = "'limits.hours' must be more than the 1.5 that have passed already, in all sessions of the study together"
    assert message in refusal(folder, "limits.hours=1.5")
    assert load_resumed_spec(folder, ["limits.hours=2"]).limits.hours == 2


# ---- a reproducible search


def test_machines_of_a_reproducible_search_stay_as_they_are(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(2), text=SPEC + "reproducible: true\nresources: {slots: 2}\n")
    message = refusal(folder, "resources.slots=4")
    assert (
        "'resources.slots' must stay 2 for the trials of a reproducible search to be the same again"
        in message
    )
    assert "limits.max_failures. Launch" in message
    assert "resources.cpus_per_trial" not in message


def reproducible_spec(trials: int) -> SearchSpec:
    return make_spec(
        search=WIDE,
        sampler={"name": "tpe"},
        reproducible=True,
        resources={"slots": 3},
        limits={"trials": trials},
    )


def search(root: Path, spec: SearchSpec, *, resume: bool = False) -> tuple[SearchOutcome, str]:
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    outcome = run_search(spec, StudyFolder(root, spec.study), resume=resume, console=console, backend=FACTORY)
    return outcome, stream.getvalue()


@pytest.fixture
def seams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Ray, no MLflow, no waiting."""
    replace_seams(monkeypatch, tmp_path)


def trials_of(outcome: SearchOutcome) -> list[tuple[int, Any, Any]]:
    return sorted(
        (record.number, tuple(record.varied.items()), record.scores) for record in outcome.study.records
    )


def went_on(root: Path, trials: int, *, is_checked: bool) -> list[tuple[int, Any, Any]]:
    """Return the trials of a search that ended at a limit and went on to 12."""
    search(root, reproducible_spec(trials))
    changed = load_resumed_spec(StudyFolder(root, "demo"), ["limits.trials=12"]) if is_checked else None
    return trials_of(search(root, changed or reproducible_spec(12), resume=True)[0])


@pytest.mark.usefixtures("seams")
def test_a_reproducible_search_goes_on_from_a_whole_batch_as_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = trials_of(search(tmp_path / "undisturbed", reproducible_spec(12))[0])
    assert went_on(tmp_path / "whole", WHOLE, is_checked=True) == undisturbed
    assert went_on(tmp_path / "cut", CUT, is_checked=False) != undisturbed


@pytest.mark.usefixtures("seams")
def test_a_reproducible_search_does_not_go_on_from_a_batch_that_the_limit_has_cut(tmp_path: Path) -> None:
    search(tmp_path, reproducible_spec(CUT))
    message = refusal(StudyFolder(tmp_path, "demo"), "limits.trials=12")
    assert "must have whole batches of 3 trials to go on as if it had been launched so" in message
    assert "limits.trials has cut one; launch it anew with study=NAME and resources.slots=3" in message


@pytest.mark.usefixtures("seams")
def test_a_reproducible_search_does_not_go_on_from_what_the_time_has_cut(tmp_path: Path) -> None:
    spec = reproducible_spec(3).model_copy(
        update={"limits": make_spec(limits={"trials": 3, "hours": 1}).limits}
    )
    search(tmp_path, spec)
    folder = StudyFolder(tmp_path, "demo")
    Timeline(folder.timeline_path).begin_session(at=0.0, slots=3, pid=1)
    with folder.timeline_path.open("a") as file:
        file.write('{"event": "end", "at": 7200.0, "reason": "finished"}\n')
    assert "limits.hours has cut one" in refusal(folder, "limits.hours=3")


# ---- it stays changed


@pytest.mark.usefixtures("seams")
def test_a_changed_limit_is_kept_and_a_plain_resume_goes_on_to_it(tmp_path: Path) -> None:
    search(tmp_path, make_spec(search=WIDE, limits={"trials": 3}))
    folder = StudyFolder(tmp_path, "demo")
    outcome, shown = search(
        tmp_path, load_resumed_spec(folder, ["limits.trials=5", "limits.hours=2"]), resume=True
    )
    assert outcome.num_complete == 5
    assert outcome.why_early is None
    assert shown.splitlines()[0] == (
        f"from now on: limits.trials=5 (was 3), limits.hours=2.0 (was null); kept in {folder.spec_path}"
    )
    assert load_spec(folder.spec_path).limits.trials == 5
    status = runner.invoke(app, ["status", "demo", "--storage", str(tmp_path)])
    assert status.stdout.startswith("study demo: 5 of 5 trials (5 complete")
    assert status.stdout.endswith("finished\n")
    again, shown = search(tmp_path, load_resumed_spec(folder, ()), resume=True)
    assert trials_of(again) == trials_of(outcome)
    assert "from now on" not in shown


@pytest.mark.usefixtures("seams")
def test_a_plain_resume_leaves_the_spec_as_somebody_wrote_it(tmp_path: Path) -> None:
    search(tmp_path, make_spec(search=WIDE, limits={"trials": 3}))
    folder = StudyFolder(tmp_path, "demo")
    text = "# mine\n" + folder.spec_path.read_text()
    folder.spec_path.write_text(text)
    search(tmp_path, load_resumed_spec(folder, ()), resume=True)
    assert folder.spec_path.read_text() == text


@pytest.mark.usefixtures("seams")
def test_a_kept_spec_is_the_launched_one_but_for_what_changed(tmp_path: Path) -> None:
    search(tmp_path, make_spec(search=WIDE, limits={"trials": 3}, first=[{"budgets.macs": 0.5}]))
    folder = StudyFolder(tmp_path, "demo")
    before = folder.spec_path.read_text()
    search(tmp_path, load_resumed_spec(folder, ["limits.trials=4"]), resume=True)
    assert folder.spec_path.read_text() == before.replace("trials: 3", "trials: 4")


def test_a_driver_that_is_killed_while_it_writes_the_spec_leaves_the_old_one(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(2))
    before = folder.spec_path.read_text()
    program = (
        "import os, signal, sys; from pathlib import Path; from search.studies.folder import StudyFolder\n"
        "os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "StudyFolder(Path(sys.argv[1]), 'tiny').replace_spec('study: t')"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(folder.root)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert folder.spec_path.read_text() == before
    assert folder.known_studies() == ("tiny",)
    folder.replace_spec(dump_spec(load_resumed_spec(folder, ["limits.trials=20"])))
    assert load_spec(folder.spec_path).limits.trials == 20


# ---- the command


def test_the_engine_gets_the_changed_limit(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(4))
    engine = FakeEngine(staircase(5))
    resume_study("tiny", folder.root, engine, write_only, overrides=["limits.trials=80"])
    ((spec, _, resume),) = engine.calls
    assert (spec.limits.trials, resume) == (80, True)


def test_a_refused_change_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(4))
    result = runner.invoke(app, ["resume", "tiny", "run.seed=3", "--storage", str(folder.root)])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: command line: 'run.seed' must stay 0")
    assert result.stderr.count("\n") == 1
    assert not folder.timeline_path.exists()
