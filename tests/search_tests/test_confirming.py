"""Repeats of a pick, over the synthetic backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from pruning_core.config import load_config
from reports.picks import Pick, pick
from reports.records import TrialRecord
from search.backend import BackendSettings, PruningBackend, load_backend
from search.commands.pick import PickRequest, pick_network
from search.confirming import confirm_pick
from search.pick_book import PICKS_FILE, read_picks
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from tests.search_tests.synthetic_backend import CRASHES, FACTORY, times_run
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


@pytest.fixture
def searched(tmp_path: Path) -> StudyFolder:
    spec = make_spec(limits={"trials": 3})
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder)
    search.study.note({"id": "x", "created_at": 5.0, "version": "1", "machine": {}})
    search.run()
    return folder


def picked_trial(folder: StudyFolder) -> TrialRecord:
    found = pick(read_study(folder))
    assert isinstance(found, Pick)
    return found.record


def backend_of(folder: StudyFolder) -> PruningBackend:
    return load_backend(BackendSettings(factory=FACTORY, artifacts=str(folder.artifacts_path)))


def confirm(folder: StudyFolder, number: int, *, as_json: bool = False) -> None:
    request = PickRequest(num_repeats=number, test=False)
    pick_network(folder.study, folder.root, request, as_json=as_json, backend=FACTORY)


def test_repeats_run_the_same_configuration_under_the_seeds_after_its_own(searched: StudyFolder) -> None:
    record = picked_trial(searched)
    before = times_run(searched.artifacts_path)
    said: list[str] = []
    found = confirm_pick(record, 3, backend_of(searched), said.append)
    assert [one.seed for one in found.repeats] == [1, 2, 3]
    new = set(times_run(searched.artifacts_path)) - set(before)
    config = load_config(record.config)
    seeds = [config.model_copy(update={"seed": seed}) for seed in (1, 2, 3)]
    assert new == {backend_of(searched).plan(one).trial_key for one in seeds}  # and no shared stage
    assert said[0] == "repeat 1 of 3 (seed 1) ..."
    assert said[1].startswith("  ")


def test_finished_repeats_are_found_again(searched: StudyFolder) -> None:
    record = picked_trial(searched)
    first = confirm_pick(record, 2, backend_of(searched), print)
    assert confirm_pick(record, 3, backend_of(searched), print).repeats[:2] == first.repeats
    assert set(times_run(searched.artifacts_path).values()) == {1}


def test_a_shared_stage_that_is_gone_is_built_again(searched: StudyFolder) -> None:
    record = picked_trial(searched)
    backend = backend_of(searched)
    dense = backend.plan(load_config(record.config)).stages[0].key
    (searched.artifacts_path / dense).unlink()
    assert len(confirm_pick(record, 1, backend, print).accuracies) == 1
    assert times_run(searched.artifacts_path)[dense] == 2


def test_a_repeat_that_diverges_is_a_result(searched: StudyFolder) -> None:
    record = picked_trial(searched)
    record = record.model_copy(update={"config": {**record.config, "seed": CRASHES - 2}})
    found = confirm_pick(record, 2, backend_of(searched), print)
    assert [one.failure is None for one in found.repeats] == [True, False]
    assert found.repeats[1].failure == "the loss of stage 'steer' must be finite, but got nan"


def test_the_command_keeps_repeats_beside_the_pick_and_shows_them_with_it_from_then_on(
    searched: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_study(searched)
    confirm(searched, 2)
    shown = capsys.readouterr().out
    assert "Repeats under other seeds:\n  seed  accuracy  FLOPs (MACs)  params\n  pick  " in shown
    assert ", standard deviation 0.00 points, on 400 validation images" in shown
    assert "The pick was not lucky: its repeats are as good on average" in shown
    assert read_picks(searched)[0]["confirmation"]["accuracies"] == pytest.approx(
        [before_accuracy(before)] * 2
    )
    confirm(searched, 0)
    assert "The pick was not lucky" in capsys.readouterr().out
    assert read_study(searched) == before  # no trial was added


def before_accuracy(study: object) -> float:
    found = pick(study)  # type: ignore[arg-type]
    assert isinstance(found, Pick)
    assert found.record.scores is not None
    return found.record.scores.accuracy


def test_json_comes_once_and_whole(searched: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    confirm(searched, 2, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["confirmation"]["mean"] == pytest.approx(found["accuracy"])
    assert found["confirmation"]["std"] == 0.0
    assert [one["seed"] for one in found["confirmation"]["repeats"]] == [1, 2]


def test_ctrl_c_keeps_the_pick_and_what_is_finished(
    searched: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = backend_of(searched)
    run, calls = backend.run_trial, []

    def run_one_only(config: object) -> object:
        calls.append(config)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(config)  # type: ignore[arg-type]

    monkeypatch.setattr(type(backend), "run_trial", lambda _, config: run_one_only(config))
    with pytest.raises(typer.Exit) as ended:
        confirm(searched, 3)
    assert ended.value.exit_code == 130
    captured = capsys.readouterr()
    assert (
        "interrupted; the pick stands, finished repeats are kept, and the same command goes on"
        in captured.err
    )
    assert captured.out.startswith("Trial ")
    assert read_picks(searched)[0]["confirmation"] is None
    monkeypatch.undo()
    finished = times_run(searched.artifacts_path)
    confirm(searched, 3)
    assert len(times_run(searched.artifacts_path)) == len(finished) + 2
    assert set(times_run(searched.artifacts_path).values()) == {1}
    assert (searched.path / PICKS_FILE).is_file()
