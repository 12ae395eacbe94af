from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from pruning_core.errors import ClusterError, StorageError
from reports.records import TrialStatus
from search.backend import BackendSettings
from search.execution.ray_searcher import RaySearcher
from search.execution.worker import METRIC, execute_item
from search.outcomes import ItemOutcome, OutcomeStatus
from search.work_items import ItemKind, WorkItem
from tests.search_tests.synthetic_backend import FACTORY
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


@pytest.fixture
def search(tmp_path: Path) -> SyntheticSearch:
    spec = make_spec()
    return SyntheticSearch(spec, make_folder(tmp_path, spec))


def make_searcher(search: SyntheticSearch, tmp_path: Path, *, slots: int = 2) -> RaySearcher:
    settings = BackendSettings(factory=FACTORY, artifacts=str(search.folder.artifacts_path))
    searcher = RaySearcher(search.proposer, settings, slots=slots, folder=tmp_path)
    for number in range(slots):
        assert "meet_in" in packed(searcher.suggest(f"meeting-{number}"))
        searcher.on_trial_complete(f"meeting-{number}", {METRIC: 0})
    return searcher


def first_trial(searcher: RaySearcher) -> tuple[str, int]:
    """Hand out items, stages of which are built at once, until one is a trial; return its id in Ray and its number."""
    for index in range(10):
        handed_out = packed(searcher.suggest(f"item-{index}"))
        item = WorkItem.from_plain(handed_out["item"])
        if item.kind is ItemKind.TRIAL:
            return f"item-{index}", item.number
        outcome = execute_item(item, handed_out["config"], BackendSettings(**handed_out["backend"]))
        searcher.on_trial_complete(f"item-{index}", {METRIC: 1, "outcome": json.dumps(outcome.to_plain())})
    pytest.fail("no trial among ten items")


def packed(config: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(config["packed"])
    return content


def report(status: OutcomeStatus, reason: str | None = None) -> dict[str, Any]:
    outcome = ItemOutcome(status=status, started_at=1.0, finished_at=2.0, reason=reason)
    return {METRIC: 1, "outcome": json.dumps(outcome.to_plain())}


def test_all_workers_meet_before_the_first_item(search: SyntheticSearch, tmp_path: Path) -> None:
    searcher = make_searcher(search, tmp_path, slots=3)
    assert not search.handed_out
    first = packed(searcher.suggest("a"))
    assert WorkItem.from_plain(first["item"]).name == "dense"


def test_looking_ahead_proposes_while_workers_start(search: SyntheticSearch, tmp_path: Path) -> None:
    settings = BackendSettings(factory=FACTORY, artifacts=str(search.folder.artifacts_path))
    searcher = RaySearcher(search.proposer, settings, slots=1, folder=tmp_path)
    searcher.look_ahead()
    assert not search.study._study.get_trials()
    searcher.suggest("meeting")
    searcher.look_ahead()
    num_proposed = len(search.study._study.get_trials())
    assert num_proposed > 0
    searcher.look_ahead()
    assert len(search.study._study.get_trials()) == num_proposed
    assert not search.handed_out


def test_a_slot_with_nothing_to_do_waits_for_the_stage_that_is_built(
    search: SyntheticSearch, tmp_path: Path
) -> None:
    searcher = make_searcher(search, tmp_path)
    item = WorkItem.from_plain(packed(searcher.suggest("a"))["item"])
    assert packed(searcher.suggest("b"))["wait_for"] == [item.key]
    searcher.on_trial_complete("b", {METRIC: 0})
    searcher.on_trial_complete("a", report(OutcomeStatus.COMPLETE))
    assert WorkItem.from_plain(packed(searcher.suggest("c"))["item"]).name == "predictor"


@pytest.mark.parametrize(("result", "error"), [(None, True), (None, False), ({METRIC: 1}, True)])
def test_a_worker_that_died_gives_a_failure(
    search: SyntheticSearch, tmp_path: Path, result: dict[str, Any] | None, error: bool
) -> None:
    searcher = make_searcher(search, tmp_path, slots=1)
    trial_id, number = first_trial(searcher)
    searcher.on_trial_complete(trial_id, result, error=error)
    assert [(record.number, record.status) for record in search.records] == [(number, TrialStatus.FAILED)]
    assert search.records[0].reason is not None
    assert "the worker process died" in search.records[0].reason


def test_what_ends_the_search_is_kept_as_it_was_raised(search: SyntheticSearch, tmp_path: Path) -> None:
    searcher = make_searcher(search, tmp_path)
    searcher.suggest("a")
    with pytest.raises(StorageError, match="disk full"):
        searcher.on_trial_complete("a", report(OutcomeStatus.NO_STORAGE, "disk full"))
    assert isinstance(searcher.error, StorageError)


def test_a_machine_that_cannot_run_trials_ends_the_search_and_fails_no_trial(
    search: SyntheticSearch, tmp_path: Path
) -> None:
    searcher = make_searcher(search, tmp_path)
    searcher.suggest("a")
    unfit = replace(
        ItemOutcome.from_plain(json.loads(report(OutcomeStatus.UNFIT_MACHINE, "no data")["outcome"])),
        host="n7",
    )
    with pytest.raises(
        ClusterError, match="machine n7 must be able to run trials, but cannot: no data; mend that"
    ):
        searcher.on_trial_complete("a", {METRIC: 1, "outcome": json.dumps(unfit.to_plain())})
    assert isinstance(searcher.error, ClusterError)
    assert not search.records


DEATHS = """Failure # 1 (occurred at 2026-01-01_10-00-00)
The actor died unexpectedly before finishing this task.
\tclass_name: ImplicitFunc
Failure # 2 (occurred at 2026-01-01_10-01-00)
{}
The node has 23 GB.
"""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("1 worker(s) were killed due to the node running low on memory.", TrialStatus.COMPLETE),
        ("The actor died unexpectedly before finishing this task.", TrialStatus.FAILED),
    ],
)
def test_an_item_whose_workers_ray_ended_for_memory_runs_again_with_smaller_batches(
    search: SyntheticSearch, tmp_path: Path, words: str, status: TrialStatus
) -> None:
    searcher = make_searcher(search, tmp_path, slots=1)
    trial_id, number = first_trial(searcher)
    searcher.note_death(trial_id, DEATHS.format(words))
    searcher.on_trial_complete(trial_id, error=True)
    search.run()
    record = next(record for record in search.records if record.number == number)
    assert record.status is status
    assert record.reason is not None
    if status is TrialStatus.FAILED:
        assert record.reason.endswith(f"allows (killed, or out of memory); Ray says: {words}")
    else:
        assert record.reason.startswith("ran out of memory, and again with smaller batches")


def test_an_item_whose_worker_was_gone_before_it_began_is_handed_out_again_as_often_as_is_allowed(
    search: SyntheticSearch, tmp_path: Path
) -> None:
    settings = BackendSettings(factory=FACTORY, artifacts=str(search.folder.artifacts_path))
    searcher = RaySearcher(
        search.proposer, settings, slots=1, folder=tmp_path, do_workers_meet=False, max_failures=2
    )
    gone = DEATHS.format("The actor is temporarily unavailable: Connection reset by peer")
    stage = packed(searcher.suggest("stage"))["item"]
    searcher.note_death("stage", gone)
    searcher.on_trial_complete("stage", error=True)
    assert packed(searcher.suggest("stage-again"))["item"] == stage
    searcher.on_trial_complete("stage-again", report(OutcomeStatus.NO_MEMORY))  # others used it

    trial_id, number = first_trial(searcher)
    for again in ("first", "second"):
        searcher.note_death(trial_id, gone)
        searcher.on_trial_complete(trial_id, error=True)
        assert not search.records
        trial_id = again
        assert WorkItem.from_plain(packed(searcher.suggest(trial_id))["item"]).number == number
    searcher.note_death(trial_id, gone)
    searcher.on_trial_complete(trial_id, error=True)
    assert [(record.number, record.status) for record in search.records] == [(number, TrialStatus.FAILED)]


def test_workers_of_a_cluster_begin_at_once(search: SyntheticSearch, tmp_path: Path) -> None:
    settings = BackendSettings(factory=FACTORY, artifacts=str(search.folder.artifacts_path))
    searcher = RaySearcher(search.proposer, settings, slots=3, folder=tmp_path, do_workers_meet=False)
    assert WorkItem.from_plain(packed(searcher.suggest("a"))["item"]).name == "dense"


def test_the_end_is_told_once_nothing_runs(search: SyntheticSearch, tmp_path: Path) -> None:
    search.run()
    searcher = make_searcher(search, tmp_path)
    assert searcher.suggest("a") == Searcher.FINISHED


def test_what_a_watch_finds_out_ends_the_search_and_is_kept(search: SyntheticSearch, tmp_path: Path) -> None:
    class Lost:
        def check(self) -> None:
            raise StorageError("somebody else holds the study")

    settings = BackendSettings(factory=FACTORY, artifacts=str(search.folder.artifacts_path))
    searcher = RaySearcher(search.proposer, settings, slots=1, folder=tmp_path, watches=[Lost()])
    with pytest.raises(StorageError, match="somebody else holds the study"):
        searcher.check()
    assert isinstance(searcher.error, StorageError)
