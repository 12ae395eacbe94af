from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import StorageError
from reports.records import TrialStatus
from search.backend import BackendSettings
from search.studies.reading import read_snapshot
from search.tried_configurations import TriedConfigurations
from search.work_items import ItemKind
from tests.search_tests.synthetic_backend import (
    BROKEN_SELECTOR,
    BUG,
    CRASHES,
    FULL_DISK,
    NOT_A_NUMBER,
    SyntheticBackend,
    times_run,
)
from tests.search_tests.synthetic_search import GRID, SyntheticSearch, make_folder, make_spec

WIDE: dict[str, Any] = {
    "budgets.macs": {"low": 0.3, "high": 0.9},
    "saliency.num_basis": {"choices": [1, 2, 4]},
}


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_search_runs_each_shared_stage_and_each_trial_once(tmp_path: Path, slots: int) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=slots)
    search.run()
    stages = Counter(item.name for item in search.handed_out if item.kind is ItemKind.STAGE)
    assert stages == {"dense": 1, "predictor": 1, "selector": 3}
    assert len(search.records) == 12
    assert set(times_run(folder.artifacts_path).values()) == {1}


@pytest.mark.parametrize("sampler", ["tpe", "known_costs", "nsga2", "random", "qmc"])
def test_a_grid_is_searched_to_its_last_configuration_without_repeats(tmp_path: Path, sampler: str) -> None:
    spec = make_spec(sampler={"name": sampler}, limits={"trials": 100})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert sorted(record.number for record in search.records) == list(range(12))
    assert len({tuple(record.varied.values()) for record in search.records}) == 12


def test_a_configuration_that_is_proposed_again_can_be_spent_as_a_new_seed(tmp_path: Path) -> None:
    spec = make_spec(sampler={"name": "random", "duplicates": "new_seed"}, limits={"trials": 40})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert len(search.records) == 40, "the grid has twelve configurations"
    assert len({record.trial_key for record in search.records}) == 40
    seeds: dict[tuple[Any, ...], list[int]] = {}
    for record in sorted(search.records, key=lambda record: record.number):
        seeds.setdefault(tuple(record.varied.values()), []).append(record.seed)
    assert all(found == list(range(len(found))) for found in seeds.values())
    assert max(map(len, seeds.values())) > 1
    assert set(times_run(search.folder.artifacts_path).values()) == {1}


@pytest.mark.parametrize("num_items", [3, 9, 20])
def test_a_resumed_search_gives_repeats_the_seeds_that_they_had(tmp_path: Path, num_items: int) -> None:
    spec = make_spec(sampler={"name": "random", "duplicates": "new_seed"}, limits={"trials": 30})
    undisturbed = SyntheticSearch(spec, make_folder(tmp_path / "a", spec), slots=1)
    undisturbed.run()
    folder = make_folder(tmp_path / "b", spec)
    SyntheticSearch(spec, folder, slots=1).run(num_items)
    resumed = SyntheticSearch(spec, folder, slots=1)
    resumed.run()

    def found(search: SyntheticSearch) -> dict[int, str]:
        return {record.number: record.trial_key for record in search.study.finished()}

    assert found(resumed) == found(undisturbed)


def test_a_configuration_that_failed_is_not_tried_under_another_seed(tmp_path: Path) -> None:
    search_space = {"budgets.macs": {"choices": [0.1, 0.5]}}  # the first is out of reach
    spec = make_spec(
        search=search_space, sampler={"name": "random", "duplicates": "new_seed"}, limits={"trials": 6}
    )
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    by_share = Counter(record.varied["budgets.macs"] for record in search.records)
    assert by_share == {0.1: 1, 0.5: 6}


def test_a_search_that_has_tried_everything_says_so(tmp_path: Path) -> None:
    spec = make_spec(limits={"trials": 40})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run(3)
    assert search.proposer.why_early is None
    search.run()
    assert len(search.records) == 12
    assert search.proposer.why_early == "all 12 configurations were tried"


def test_a_search_whose_configurations_repeat_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TriedConfigurations, "is_everything", False)
    spec = make_spec(search={"budgets.macs": {"choices": [0.4, 0.5]}})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert len(search.records) == 2
    assert search.proposer.why_early == "no configuration was proposed that is not tried yet, 1 time in a row"


def test_the_search_ends_at_its_limit(tmp_path: Path) -> None:
    spec = make_spec(search=WIDE, limits={"trials": 7})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec), slots=3)
    search.run()
    assert len(search.records) == 7
    assert search.proposer.next_item() is None


def test_a_search_looks_ahead_only_as_far_as_it_needs(tmp_path: Path) -> None:
    spec = make_spec(search=WIDE, limits={"trials": 100})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec), slots=2)
    search.fill_slots()
    assert [item.name for item in search.handed_out] == ["dense"]
    assert len(read_snapshot(search.folder).attributes) == 0
    num_asked = len(search.study._study.get_trials())
    assert num_asked == 2 * 2 + 2
    while not any(item.kind is ItemKind.TRIAL for item in search.handed_out):
        search.step()
    assert len(search.study._study.get_trials()) <= num_asked + 2


def test_the_paper_s_designs_are_tried_first(tmp_path: Path) -> None:
    first = [
        {"budgets.macs": 0.6, "saliency.num_basis": 4, "loss_weights.steering": 0.1},
        {"budgets.macs": 0.4},
    ]
    spec = make_spec(first=first)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    by_number = sorted(search.records, key=lambda record: record.number)
    assert by_number[0].varied == first[0]
    assert by_number[1].varied["budgets.macs"] == 0.4


def test_a_design_given_twice_runs_once(tmp_path: Path) -> None:
    point = {"budgets.macs": 0.6, "saliency.num_basis": 4, "loss_weights.steering": 0.1}
    spec = make_spec(first=[point, point])
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert sum(record.varied == point for record in search.records) == 1
    assert len(search.records) == 12


def test_infeasible_configurations_cost_nothing_and_do_not_count(tmp_path: Path) -> None:
    spec = make_spec(search={**WIDE, "budgets.macs": {"low": 0.1, "high": 0.3}}, limits={"trials": 6})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    statuses = Counter(record.status for record in search.records)
    assert statuses[TrialStatus.COMPLETE] == 6
    assert statuses[TrialStatus.INFEASIBLE] > 0
    infeasible = [record for record in search.records if record.status is TrialStatus.INFEASIBLE]
    assert not {record.number for record in infeasible} & {
        item.number for item in search.handed_out if item.kind is ItemKind.TRIAL
    }
    assert all(record.reason and "at least 0.2" in record.reason for record in infeasible)


def test_a_search_without_any_feasible_configuration_ends(tmp_path: Path) -> None:
    spec = make_spec(search={**WIDE, "budgets.macs": {"low": 0.05, "high": 0.15}}, limits={"trials": 6})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert {record.status for record in search.records} == {TrialStatus.INFEASIBLE}
    assert not search.handed_out
    assert len(search.records) == 50
    assert search.proposer.why_early == (
        "50 configurations in a row could not meet their budgets; a new study could search higher ones"
    )


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (CRASHES, "the loss of stage 'steer' must be finite, but got nan"),
        (BUG, "RuntimeError: a bug"),
        (NOT_A_NUMBER, "the worker's result is not valid: explanation_distance"),
        (BROKEN_SELECTOR, "shared stage 'selector' failed: the loss"),
    ],
)
def test_what_cannot_run_fails_with_a_reason_and_is_not_tried_again(
    tmp_path: Path, seed: int, reason: str
) -> None:
    spec = make_spec(search={"seed": {"choices": [0, seed]}, "budgets.macs": {"choices": [0.4, 0.6]}})
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder)
    search.run()
    failed = [record for record in search.records if record.status is TrialStatus.FAILED]
    assert len(search.records) == 4
    assert {record.seed for record in failed} == {seed}
    assert len(failed) == 2
    assert all(record.reason is not None and record.reason.startswith(reason) for record in failed)
    again = SyntheticSearch(spec, folder)
    again.run()
    assert not again.handed_out


def test_failures_count_towards_the_limit(tmp_path: Path) -> None:
    spec = make_spec(search={"seed": {"choices": [CRASHES, BUG, 1, 2, 3, 4, 5]}}, limits={"trials": 5})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert len(search.records) == 5


def test_a_full_disk_ends_the_search_and_leaves_the_trial_to_be_resumed(tmp_path: Path) -> None:
    spec = make_spec(search={"seed": {"choices": [FULL_DISK, 1]}})
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=1)
    with pytest.raises(StorageError, match="full"):
        search.run()
    again = SyntheticSearch(spec, folder, slots=1)
    assert again.adopted
    assert not any(record.seed == FULL_DISK for record in again.study.finished())


@pytest.mark.parametrize("num_steps", [1, 3, 6, 9, 12, 14])
@pytest.mark.parametrize("sampler", ["random", "tpe", "known_costs"])
def test_a_driver_that_dies_loses_and_repeats_nothing(tmp_path: Path, num_steps: int, sampler: str) -> None:
    spec = make_spec(sampler={"name": sampler})
    folder = make_folder(tmp_path, spec)
    killed = SyntheticSearch(spec, folder, slots=3)
    killed.run(num_steps)
    started = {item.number for item in killed.running if item.kind is ItemKind.TRIAL}
    resumed = SyntheticSearch(spec, folder, slots=3, seed=1)
    assert started <= set(resumed.adopted)
    resumed.run()
    records = resumed.study.finished()
    assert sorted(record.number for record in records) == list(range(12))
    assert len({record.trial_key for record in records}) == 12
    assert set(times_run(folder.artifacts_path).values()) == {1}
    assert not resumed.study.adopt()


def test_interrupted_trials_are_handed_out_before_new_ones(tmp_path: Path) -> None:
    spec = make_spec(search=WIDE, limits={"trials": 20})
    folder = make_folder(tmp_path, spec)
    killed = SyntheticSearch(spec, folder, slots=2)
    killed.run(8)
    killed.fill_slots()
    interrupted = sorted(item.number for item in killed.running if item.kind is ItemKind.TRIAL)
    assert interrupted
    resumed = SyntheticSearch(spec, folder, slots=2)
    resumed.run()
    trials = [item.number for item in resumed.handed_out if item.kind is ItemKind.TRIAL]
    assert trials[: len(interrupted)] == interrupted


def test_the_first_proposals_do_not_depend_on_how_often_the_driver_died(tmp_path: Path) -> None:
    spec = make_spec(search=WIDE, sampler={"name": "tpe"}, limits={"trials": 8})
    undisturbed = SyntheticSearch(spec, make_folder(tmp_path / "a", spec), slots=1)
    undisturbed.run()
    folder = make_folder(tmp_path / "b", spec)
    for num_steps in (1, 2, 1, 4, 3):
        SyntheticSearch(spec, folder, slots=1).run(num_steps)
    SyntheticSearch(spec, folder, slots=1).run()
    varied = {record.number: record.varied for record in read_snapshot(folder).records}
    assert varied == {record.number: record.varied for record in undisturbed.records}


def test_nothing_new_starts_once_the_time_is_up(tmp_path: Path) -> None:
    spec = make_spec(search=WIDE, limits={"trials": 50})
    now = [0.0]
    search = SyntheticSearch(
        spec, make_folder(tmp_path, spec), slots=2, time_limit_s=10.0, clock=lambda: now[0]
    )
    search.run(12)
    search.fill_slots()
    running = {item.number for item in search.running if item.kind is ItemKind.TRIAL}
    num_done = len(search.records)
    now[0] = 11.0
    search.run()
    assert search.proposer.why_early == "the time of limits.hours is up"
    assert {record.number for record in search.records[num_done:]} == running
    assert not search.study.adopt()


def test_a_stage_that_exists_from_another_study_is_not_built(tmp_path: Path) -> None:
    spec = make_spec()
    SyntheticSearch(spec, make_folder(tmp_path, spec)).run()
    other = make_spec(study="other", search=GRID | {"loss_weights.steering": {"choices": [5.0]}})
    search = SyntheticSearch(other, make_folder(tmp_path, other))
    search.run()
    assert {item.kind for item in search.handed_out} == {ItemKind.TRIAL}


def test_workers_wait_only_for_stages_that_some_trial_needs(tmp_path: Path) -> None:
    spec = make_spec()
    search = SyntheticSearch(spec, make_folder(tmp_path, spec), slots=2)
    awaited = [search.proposer.awaited_stages]
    search.fill_slots()
    awaited.append(search.proposer.awaited_stages)
    search.run()
    awaited.append(search.proposer.awaited_stages)
    assert awaited == [(), (search.handed_out[0].key,), ()]


def test_the_synthetic_backend_refuses_a_trial_before_its_stages(tmp_path: Path) -> None:
    backend = SyntheticBackend(BackendSettings(factory="", artifacts=str(tmp_path)))
    with pytest.raises(AssertionError, match="must exist before a trial starts"):
        backend.run_trial(make_spec().run)


@pytest.mark.parametrize("num_steps", [8, 11, 14])
def test_a_driver_that_died_in_the_middle_of_a_proposal_leaves_none_untried(
    tmp_path: Path, num_steps: int
) -> None:
    spec = make_spec()
    folder = make_folder(tmp_path, spec)
    killed = SyntheticSearch(spec, folder)
    killed.run(num_steps)
    killed.study._study.ask()  # a trial that has no values yet
    resumed = SyntheticSearch(spec, folder)
    resumed.run()
    assert len(resumed.study.finished()) == 12
    assert all(trial.state.is_finished() for trial in resumed.study._study.get_trials())
