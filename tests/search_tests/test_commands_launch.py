"""``prunefront launch`` and ``resume`` around a stand-in for the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer
from rich.console import Console

from pruning_core.errors import InfeasibleBudgetsError, StorageError
from reports.page import ReportFiles, write_report
from reports.records import StudyRecords, TrialRecord, TrialStatus
from search.commands.launch import launch_study, resume_study
from search.driver import SearchOutcome
from search.spec import SearchSpec, dump_spec
from search.studies.folder import StudyFolder
from search.timing import measure_timing
from tests.reports_tests.synthetic import make_record, staircase, study_of
from tests.search_tests.stored_studies import store_study, tell, write_spec

SMALL = """\
study: tiny
run: {dataset: {train_images: 200}}
search:
  budgets.macs: {low: 0.05, high: 0.8}
  saliency.num_basis: {choices: [1, 2, 4]}
limits: {trials: 12}
constraints: {params: "<= 40K"}
first: [{budgets.macs: 0.5}]
"""


class FakeEngine:
    """Finishes at once with the records it was made with, or is interrupted."""

    def __init__(
        self,
        records: Sequence[TrialRecord] = (),
        *,
        begins: bool = True,
        is_stopped: bool = False,
        why_early: str | None = None,
    ) -> None:
        self._records = records
        self._begins = begins
        self._is_stopped = is_stopped
        self._why_early = why_early
        self.calls: list[tuple[SearchSpec, StudyFolder, bool]] = []

    def __call__(
        self,
        spec: SearchSpec,
        folder: StudyFolder,
        *,
        resume: bool,
        console: Console,
        prepare: Callable[[], object] = lambda: None,
    ) -> SearchOutcome:
        assert isinstance(console, Console)
        prepare()
        self.calls.append((spec, folder, resume))
        if self._begins and not resume:
            folder.create(dump_spec(spec))
            tell(folder, spec, self._records)
        if self._is_stopped:
            raise KeyboardInterrupt
        study = study_of(self._records).model_copy(update={"study": spec.study})
        counts = {status: sum(record.status is status for record in self._records) for status in TrialStatus}
        return SearchOutcome(
            study=study,
            num_complete=counts[TrialStatus.COMPLETE],
            num_failed=counts[TrialStatus.FAILED],
            num_infeasible=counts[TrialStatus.INFEASIBLE],
            num_untracked=0,
            timing=measure_timing([]),
            why_early=self._why_early,
        )


def write_only(study: StudyRecords, folder: StudyFolder) -> ReportFiles:
    return write_report(study, folder.report_path)


def launch(folder: Path, engine: FakeEngine, *overrides: str) -> None:
    path = write_spec(folder, SMALL)
    launch_study(path, [f"storage.path={folder / 'results'}", *overrides], engine, write_only)


def test_a_finished_search_shows_the_front_the_report_and_what_to_type_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch(tmp_path, FakeEngine(staircase(3)))
    out = capsys.readouterr().out
    root = tmp_path / "results"
    assert "2         76.7%  74.0% - 79.2%          260K   26.0%   26.0K   26.0%" in out
    assert "3 networks on the front; accuracy on 1,000 validation images" in out
    assert "3 trials (3 complete) in " in out
    assert f"report: {root}/tiny/report/report.html" in out
    assert (root / "tiny/report/report.html").is_file()
    for step in ("pick tiny --knee", "export tiny picked", "ui"):
        assert f"  prunefront {step} --storage {root}" in out


def test_a_search_with_fewer_trials_than_its_limit_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch(tmp_path, FakeEngine(staircase(3), why_early="all 3 configurations were tried"))
    lines = capsys.readouterr().out.splitlines()
    assert "ended before limits.trials was reached: all 3 configurations were tried" in lines


def test_a_launch_begins_with_what_will_run_and_what_cannot_be_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch(tmp_path, FakeEngine(staircase(3)))
    out = capsys.readouterr().out
    assert out.startswith(
        "study          tiny\ndata           digits: 150 training, 50 validation, 359 test images"
    )
    assert "network        cifar_resnet8: 3.05M FLOPs (MACs), 77.8K params" in out
    assert "budgets.macs: between 0.05 and 0.8" in out
    assert "12, 1 of them given" in out
    assert "known_costs: auto, as budgets vary; seed 0" in out
    assert "macs: reachable minimum 472K, 15.5% of the dense network; 1" in out
    assert "of the configurations ask for less and cannot be met" in out
    assert "shared stages  1 dense, 1 predictor, 3 selector, 3 explanations" in out
    assert "constraints    params <= 40K" in out


@pytest.mark.parametrize(
    ("halving", "line"),
    [
        (
            "{rule: stopping}",
            "halving        after 1, 3 and 9 of 10 epochs, the best 1/3 go on (rule stopping)",
        ),
        (
            "{rule: all, rungs: [4]}",
            "halving        every trial is measured after 4 of 10 epochs and goes on",
        ),
    ],
)
def test_a_launch_says_where_trials_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], halving: str, line: str
) -> None:
    launch(tmp_path, FakeEngine(staircase(3)), f"halving={halving}")
    assert line in capsys.readouterr().out


def test_a_plan_that_cannot_be_met_ends_the_launch_with_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleBudgetsError, match="some of the searched budgets must be reachable"):
        launch(tmp_path, FakeEngine(), "search={budgets.macs: {low: 0.001, high: 0.002}}", "first=[]")
    assert not (tmp_path / "results").exists()


def test_ctrl_c_tells_the_command_that_goes_on_and_ends_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        launch(tmp_path, FakeEngine(is_stopped=True))
    assert ended.value.exit_code == 130
    message = capsys.readouterr().err
    assert message == (
        "interrupted; what is finished is kept. Go on with: "
        f"prunefront resume tiny --storage {tmp_path / 'results'}\n"
    )


def test_ctrl_c_before_the_study_began_says_that_nothing_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        launch(tmp_path, FakeEngine(is_stopped=True, begins=False))
    assert capsys.readouterr().err == "interrupted before the study began; nothing was written\n"
    assert not (tmp_path / "results").exists()


def test_a_study_name_that_exists_is_refused_before_the_engine_starts(tmp_path: Path) -> None:
    launch(tmp_path, FakeEngine(staircase(3)))
    engine = FakeEngine()
    with pytest.raises(
        StorageError, match=r"'tiny' exists in .*prunefront resume tiny.*or choose another name"
    ):
        launch(tmp_path, engine)
    assert engine.calls == []


def test_a_search_without_a_network_tells_why_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [make_record(number, status=TrialStatus.FAILED) for number in range(2)]
    with pytest.raises(typer.Exit) as ended:
        launch(tmp_path, FakeEngine(failed))
    assert ended.value.exit_code == 1
    out = capsys.readouterr().out
    assert "no network is on the front yet" in out
    assert "failed (2, such as trial 0, 1): NonFiniteLossError" in out


def test_resume_runs_the_spec_that_was_launched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store_study(tmp_path, staircase(4))
    engine = FakeEngine(staircase(5))
    resume_study("tiny", folder.root, engine, write_only)
    (spec, used, resume) = engine.calls[0]
    assert (used, resume, spec.limits.trials) == (folder, True, 12)
    assert spec.run.architecture.name == "cifar_resnet20"
    assert "5 networks on the front" in capsys.readouterr().out


def test_resume_of_an_interrupted_study_can_be_interrupted_again(tmp_path: Path) -> None:
    folder = store_study(tmp_path, staircase(4))
    with pytest.raises(typer.Exit) as ended:
        resume_study("tiny", folder.root, FakeEngine(is_stopped=True))
    assert ended.value.exit_code == 130
