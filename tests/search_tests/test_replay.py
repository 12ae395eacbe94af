"""Recordings, the surrogate, and searches against a virtual clock."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import InvalidDataError
from reports.fronts import hypervolume
from reports.records import StudyRecords, TrialStatus
from search.early_stopping.halving import HALVINGS
from search.replay.backend import ReplayBackend
from search.replay.recording import Recording, read_recording, record_study, write_recording
from search.replay.simulation import simulate
from search.replay.surrogate import FIGURES, Surrogate
from search.sampling.samplers import SAMPLERS
from search.spec import SearchSpec
from tests.search_tests.synthetic_recording import EPOCHS, make_recording, recorded_spec, true_run
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder

ABOUT: dict[str, Any] = {"command": "c", "version": "v", "facts": {}}
GRID = {"budgets.macs": {"choices": [0.3, 0.5, 0.7, 0.9]}, "saliency.num_basis": {"choices": [1, 2, 4]}}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return make_recording()


@pytest.fixture(scope="module")
def surrogate(recording: Recording) -> Surrogate:
    return Surrogate(recording, seed=0)


@pytest.fixture(scope="module")
def backend(recording: Recording, surrogate: Surrogate) -> ReplayBackend:
    return ReplayBackend(recording, surrogate)


def replay(backend: ReplayBackend, *, slots: int = 4, rule: str = "none", **changes: Any) -> StudyRecords:
    plain = {"halving": {"rule": rule}, "sampler": {"name": "random"}, "limits": {"trials": 40}}
    return simulate(recorded_spec(**{**plain, **changes}), backend, slots=slots)


def test_a_recording_is_read_as_it_was_written(tmp_path: Path, recording: Recording) -> None:
    path = tmp_path / "new" / "runs.jsonl"
    write_recording(recording, path)
    assert read_recording(path) == recording
    assert recording.epochs == (1, 3, EPOCHS)
    header = json.loads(path.read_text().splitlines()[0])
    assert (header["format"], header["command"]) == (1, "make_recording")


def test_a_study_that_measured_every_rung_is_a_recording(tmp_path: Path) -> None:
    spec = recorded_spec(search=GRID, limits={"trials": 6})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    found = record_study(spec, search.records, **ABOUT)
    assert len(found.runs) == 6
    write_recording(found, tmp_path / "runs.jsonl")
    assert read_recording(tmp_path / "runs.jsonl") == found
    for run in found.runs:
        assert list(run.scores) == list(run.seconds) == [1, 3, EPOCHS]
        accuracies = [scores.accuracy for scores in run.scores.values()]
        assert accuracies == sorted(accuracies)


def test_a_study_without_all_rungs_is_no_recording(tmp_path: Path) -> None:
    spec = recorded_spec(search=GRID, limits={"trials": 6})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    other = spec.model_copy(update={"halving": recorded_spec(halving={"rule": "all", "rungs": [2]}).halving})
    with pytest.raises(InvalidDataError, match=r"at epochs \[2\], but trial 0 was at \[1, 3\]; search with"):
        record_study(other, search.records, **ABOUT)
    with pytest.raises(InvalidDataError, match="at least one complete trial, but the study has none"):
        record_study(spec, [], **ABOUT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda lines: [lines[0].replace('"format": 1', '"format": 7'), *lines[1:]],
            "of format 7; record it",
        ),
        (lambda lines: lines[:-1], "must have epochs .1, 3, 9., but .* has .1, 3."),
        (lambda lines: lines[:1], "must hold at least one configuration"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "must be a recording that can be read, but is not"),
        (lambda _: [], "must be a recording that can be read, but is not"),
    ],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, recording: Recording, change: Any, problem: str
) -> None:
    path = tmp_path / "runs.jsonl"
    write_recording(recording, path)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(InvalidDataError, match=problem):
        read_recording(path)


def test_a_search_with_conditional_fields_cannot_be_recorded(recording: Recording) -> None:
    search = {
        "method": {"choices": ["l1", "task_inspired"]},
        "importance.task_weight": {"low": 0.0, "high": 1.0, "when": {"method": ["task_inspired"]}},
    }
    spec = SearchSpec.model_validate({"study": "conditional", "search": search})
    with pytest.raises(InvalidDataError, match=r"but 'search\.importance\.task_weight' has a 'when'"):
        replace(recording, spec=spec)


def test_recorded_configurations_are_answered_as_they_were_recorded(
    recording: Recording, backend: ReplayBackend
) -> None:
    for run in recording.runs[:5]:
        config = recording.spec.make_config(run.values)
        assert backend.run_trial(config)["num_correct_fine_tuned"] == run.scores[9].num_correct_fine_tuned
        assert backend.run_rung(config, 3)["num_correct_fine_tuned"] == run.scores[3].num_correct_fine_tuned
        assert backend.seconds(config, 1) == run.seconds[1]
        assert backend.seconds(config, None) == run.seconds[9]


def test_other_configurations_are_answered_alike_whenever_they_are_asked_for() -> None:
    recording = make_recording(40)  # several models are fitted
    values = {"budgets.macs": 0.555, "fine_tuning.learning_rate": 0.05, "saliency.num_basis": 2}
    first, again = (Surrogate(recording, seed=3).run(values) for _ in range(2))
    assert first == again
    assert first != Surrogate(recording, seed=4).run(values)
    assert list(first.seconds.values()) == sorted(first.seconds.values())
    assert len({scores.macs for scores in first.scores.values()}) == 1
    assert abs(first.scores[9].accuracy - true_run(values).scores[9].accuracy) < 0.15


def test_the_surrogate_says_how_well_it_predicts_what_it_has_not_seen(surrogate: Surrogate) -> None:
    quality = {(one.epochs, one.figure): one for one in surrogate.quality}
    assert set(quality) == {(epochs, figure) for epochs in (1, 3, 9) for figure in FIGURES}
    for figure in ("macs_share", "params_share", "log_seconds"):
        assert quality[9, figure].r_squared > 0.9
        assert quality[9, figure].rank_correlation > 0.9
    assert quality[1, "accuracy"].r_squared > 0.7
    assert quality[9, "accuracy_after_removal"].r_squared == 1  # always the same


def test_networks_that_were_not_recorded_keep_their_budgets_and_use_them_up(surrogate: Surrogate) -> None:
    rates = (0.002, 0.05, 0.9)
    for share in (0.2, 0.31, 0.55, 0.9):
        for rate in rates:
            values = {"budgets.macs": share, "fine_tuning.learning_rate": rate, "saliency.num_basis": 2}
            scores = surrogate.run(values).scores[EPOCHS]
            assert scores.macs <= share * scores.dense_macs
            assert scores.macs >= 0.99 * share * scores.dense_macs


def test_noise_has_no_quality(recording: Recording) -> None:
    accuracies = [run.scores for run in recording.runs]
    shuffled = replace(
        recording,
        runs=tuple(
            replace(run, scores=scores)
            for run, scores in zip(recording.runs, [*accuracies[7:], *accuracies[:7]], strict=True)
        ),
    )
    quality = {(one.epochs, one.figure): one for one in Surrogate(shuffled, seed=0).quality}
    assert quality[9, "accuracy"].r_squared < 0.2
    assert quality[9, "accuracy"].rank_correlation < 0.4


def test_a_surrogate_refuses_what_it_cannot_learn() -> None:
    with pytest.raises(InvalidDataError, match="needs at least 5 recorded configurations, but got 4"):
        Surrogate(make_recording(4), seed=0)
    objectives = {"accuracy": "maximize", "activation_memory": "minimize"}
    run = {"budgets": {"macs": 0.5, "activation_memory": 1.0}, "fine_tuning": {"epochs": EPOCHS}}
    with pytest.raises(InvalidDataError, match="params, but the recorded search asks for activation_memory"):
        Surrogate(make_recording(6, objectives=objectives, run=run), seed=0)


def test_slots_are_busy_in_virtual_time(backend: ReplayBackend) -> None:
    one, four = (replay(backend, slots=slots) for slots in (1, 4))
    work = sum(record.seconds for record in one.records)
    assert one.updated_at == pytest.approx(work)
    assert sum(record.seconds for record in four.records) == pytest.approx(work)
    longest = max(record.seconds for record in four.records)
    assert work / 4 <= four.updated_at <= work / 4 + longest
    ends = [record.finished_at or 0.0 for record in four.records]
    assert ends == sorted(ends)


@pytest.mark.parametrize("rule", HALVINGS)
@pytest.mark.parametrize("slots", [1, 5])
def test_a_replay_is_the_same_every_time(backend: ReplayBackend, rule: str, slots: int) -> None:
    first, again = (replay(backend, rule=rule, slots=slots) for _ in range(2))
    assert first.records == again.records
    assert len(first.records) == 40


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_be_replayed_with_halving(backend: ReplayBackend, name: str) -> None:
    study = replay(backend, rule="stopping", sampler={"name": name}, limits={"trials": 25})
    statuses = Counter(record.status for record in study.records)
    assert statuses.keys() == {TrialStatus.COMPLETE, TrialStatus.STOPPED}
    assert statuses.total() == 25


def test_a_trial_is_charged_for_its_parts_once(backend: ReplayBackend) -> None:
    whole, in_parts = (replay(backend, rule=rule, slots=1) for rule in ("none", "all"))
    assert in_parts.updated_at == pytest.approx(whole.updated_at)
    assert hypervolume(in_parts.records, in_parts.objectives) == hypervolume(whole.records, whole.objectives)


@pytest.mark.parametrize("rule", ["stopping", "promotion"])
def test_halving_sees_more_configurations_in_the_same_time(backend: ReplayBackend, rule: str) -> None:
    limits = {"trials": 10_000, "hours": 0.5}
    whole, halved = (replay(backend, rule=name, limits=limits) for name in ("none", rule))
    assert len(halved.records) > 2 * len(whole.records)
    stopped = [record for record in halved.records if record.status is TrialStatus.STOPPED]
    assert len(stopped) > len(halved.records) / 2
    assert abs(halved.updated_at - 1800) < 400  # what began is finished


def test_hundreds_of_trials_are_replayed_in_seconds(backend: ReplayBackend) -> None:
    started = time.process_time()
    study = replay(backend, rule="stopping", limits={"trials": 300})
    assert len(study.records) == 300
    assert time.process_time() - started < 30
