"""The driver with items run in this process: Ray and MLflow are replaced at our own seams."""

from __future__ import annotations

import io
import itertools
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pruning_core.errors import InfeasibleBudgetsError, InvalidDataError, StorageError
from reports.records import StudyRecords, TrialStatus
from search import driver, session
from search.backend import BackendSettings, Facts
from search.driver import SearchOutcome, run_search
from search.execution import ray_place
from search.execution.ray_searcher import RaySearcher
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.timeline import read_timeline
from tests.search_tests.driver_in_process import Tracker, replace_seams, run_in_process
from tests.search_tests.synthetic_backend import FACTORY, FULL_DISK, SyntheticBackend
from tests.search_tests.synthetic_search import make_spec

WIDE = {"budgets.macs": {"low": 0.3, "high": 0.9}}


class Unreachable(Tracker):
    num_written = 0

    def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
        raise ConnectionError(f"no route to host for {len(study.records)} trials, {final_status}")


@pytest.fixture(autouse=True)
def seams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Ray, no MLflow, no waiting."""
    replace_seams(monkeypatch, tmp_path)


def search(
    tmp_path: Path, spec: SearchSpec, *, resume: bool = False, backend: str = FACTORY
) -> tuple[SearchOutcome, str]:
    stream = io.StringIO()
    folder = StudyFolder(tmp_path / "results", spec.study)
    outcome = run_search(
        spec, folder, resume=resume, console=Console(file=stream, width=200), backend=backend
    )
    return outcome, stream.getvalue()


def folder_of(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "results", "demo")


def test_a_search_ends_with_all_its_trials_counted_and_timed(tmp_path: Path) -> None:
    outcome, shown = search(tmp_path, make_spec(resources={"slots": 2}))
    assert (outcome.num_complete, outcome.num_failed, outcome.num_infeasible) == (12, 0, 0)
    assert outcome.num_untracked == 0
    assert outcome.timing.num_trials == 12
    assert outcome.timing.slots == 2
    assert json.loads(folder_of(tmp_path).timing_path.read_text())["num_trials"] == 12
    assert shown.splitlines()[0] == f"demo: up to 12 trials, 2 at once; in {tmp_path}/results/demo"
    assert "[12 of 12 trials done]" in shown


def test_what_was_found_out_at_the_start_is_kept_with_the_study(tmp_path: Path) -> None:
    outcome, _ = search(tmp_path, make_spec())
    assert outcome.study.version
    assert {"num_cpus", "python", "torch", "ray"} <= set(outcome.study.machine)


def test_a_study_that_exists_is_refused_before_anything_starts(tmp_path: Path) -> None:
    search(tmp_path, make_spec(limits={"trials": 1}))
    before = folder_of(tmp_path).journal_path.read_bytes()
    with pytest.raises(StorageError, match="'demo' exists"):
        search(tmp_path, make_spec())
    assert folder_of(tmp_path).journal_path.read_bytes() == before


def test_a_study_that_is_not_there_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="has no 'demo'"):
        search(tmp_path, make_spec(), resume=True)


class EmptyDataBackend(SyntheticBackend):
    def describe(self, config: Any) -> Facts:
        raise InvalidDataError(f"the data set {config.dataset.name!r} must have images, but has none")


def without_data(settings: BackendSettings) -> SyntheticBackend:
    return EmptyDataBackend(settings)


def test_data_that_cannot_be_used_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="must have images"):
        search(tmp_path, make_spec(), backend=f"{__name__}:without_data")
    assert not (tmp_path / "results").exists()


def test_a_plan_that_fails_ends_the_search_before_it_began_and_ray_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []

    @contextmanager
    def noted_ray(**_: object) -> Iterator[Path]:
        happened.append("started")
        try:
            yield tmp_path
        finally:
            happened.append("shut down")

    def refuse() -> None:
        raise InfeasibleBudgetsError("some of the searched budgets must be reachable")

    monkeypatch.setattr(ray_place, "local_ray", noted_ray)
    folder = folder_of(tmp_path)
    with pytest.raises(InfeasibleBudgetsError, match="must be reachable"):
        run_search(make_spec(), folder, resume=False, console=Console(), prepare=refuse, backend=FACTORY)
    assert happened == ["started", "shut down"]
    assert not folder.root.exists()


def test_a_search_begins_by_sweeping_what_killed_processes_left(tmp_path: Path) -> None:
    left = folder_of(tmp_path).artifacts_path / "partial-1"
    left.parent.mkdir(parents=True)
    left.touch()
    search(tmp_path, make_spec(limits={"trials": 1}))
    assert not left.exists()


def test_a_search_of_which_nothing_is_feasible_says_so(tmp_path: Path) -> None:
    spec = make_spec(search={"budgets.macs": {"low": 0.05, "high": 0.1}})
    with pytest.raises(
        InfeasibleBudgetsError, match="no proposed configuration can meet its budgets; the last: "
    ):
        search(tmp_path, spec)


def test_a_full_disk_comes_out_as_it_was_raised(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^the disk must have room"):
        search(tmp_path, make_spec(search={"seed": {"choices": [FULL_DISK, 1]}}))
    assert read_timeline(folder_of(tmp_path).timeline_path)[-1]["reason"] == "failed"


def test_trials_that_are_stopped_early_are_counted_and_shown(tmp_path: Path) -> None:
    outcome, shown = search(tmp_path, make_spec(halving={"rule": "promotion"}))
    assert outcome.num_complete + outcome.num_stopped == 12
    assert outcome.num_stopped > 6
    assert "trial 0 at epoch 1: accuracy" in shown
    assert "stopped: not among the best 1/3 of its rung after 1 of 10 epochs" in shown
    assert outcome.timing.num_trials == 12
    assert len(read_timeline(folder_of(tmp_path).timeline_path)) > 12 + 5


def test_a_resumed_search_goes_on_to_a_higher_limit(tmp_path: Path) -> None:
    search(tmp_path, make_spec(search=WIDE, limits={"trials": 3}))
    outcome, _ = search(tmp_path, make_spec(search=WIDE, limits={"trials": 5}), resume=True)
    assert outcome.num_complete == 5


def test_a_search_that_ends_early_says_why_each_time(tmp_path: Path) -> None:
    spec = make_spec(limits={"trials": 20})
    for resume in (False, True):
        outcome, _ = search(tmp_path, spec, resume=resume)
        assert outcome.num_complete == 12
        assert outcome.why_early == "all 12 configurations were tried"


def test_a_search_that_reaches_its_limit_did_not_end_early(tmp_path: Path) -> None:
    outcome, _ = search(tmp_path, make_spec(search=WIDE, limits={"trials": 3}))
    assert outcome.why_early is None


def test_a_finished_study_is_resumed_without_running_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = search(tmp_path, make_spec())
    monkeypatch.setattr(driver, "run_items", lambda *_, **__: pytest.fail("nothing was left to run"))
    second, _ = search(tmp_path, make_spec(), resume=True)
    assert second.study.records == first.study.records


def test_ctrl_c_leaves_a_study_that_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(searcher: RaySearcher, *, on_step: Callable[[], None], **rest: Any) -> None:
        steps = itertools.count()

        def step() -> None:
            if next(steps) == 9:
                signal.raise_signal(signal.SIGINT)
            on_step()

        run_in_process(searcher, on_step=step, **rest)

    monkeypatch.setattr(driver, "run_items", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, make_spec())
    folder = folder_of(tmp_path)
    assert read_timeline(folder.timeline_path)[-1]["reason"] == "interrupted"
    assert 0 < len(read_study(folder).records) < 12
    monkeypatch.setattr(driver, "run_items", run_in_process)
    outcome, _ = search(tmp_path, make_spec(), resume=True)
    assert outcome.num_complete == 12
    assert {stage.num_builds for stage in outcome.timing.shared_stages} == {1}


def test_what_mlflow_could_not_take_is_announced_and_delivered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ProjectionProcess", lambda *_: Unreachable())
    outcome, shown = search(tmp_path, make_spec())
    assert (outcome.num_complete, outcome.num_untracked) == (12, 12)
    assert "12 trials are kept but not in MLflow yet (ConnectionError: no route to host" in shown
    assert shown.rstrip().endswith("`prunefront resume demo` delivers them")
    monkeypatch.setattr(session, "ProjectionProcess", lambda *_: Tracker())
    outcome, _ = search(tmp_path, make_spec(), resume=True)
    assert outcome.num_untracked == 0


def test_failures_leave_their_traceback(tmp_path: Path) -> None:
    outcome, shown = search(tmp_path, make_spec(search={"seed": {"choices": [901, 1]}}))
    (failed,) = [record for record in outcome.study.records if record.status is TrialStatus.FAILED]
    assert f"trial {failed.number} failed: the loss of stage 'steer' must be finite, but got nan" in shown
    text = folder_of(tmp_path).failures_path.read_text()
    assert f"trial {failed.number} ({failed.trial_key})" in text
    assert "Traceback (most recent call last)" in text
