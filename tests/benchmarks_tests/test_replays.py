"""Recording a study's rungs, and comparing rules on a recording; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record_rungs import main as record
from benchmarks.replay import main as compare
from pruning_core.errors import InvalidSettingsError
from search.replay.recording import read_recording, write_recording
from search.spec import SearchSpec, dump_spec
from search.studies.folder import StudyFolder
from tests.search_tests.synthetic_recording import make_recording, recorded_spec
from tests.search_tests.synthetic_search import SyntheticSearch

GRID = {"budgets.macs": {"choices": [0.3, 0.5, 0.7, 0.9]}, "saliency.num_basis": {"choices": [1, 2, 4]}}


def run_here(spec: SearchSpec, folder: StudyFolder, *, resume: bool, **_: Any) -> None:
    if not resume:
        folder.create(dump_spec(spec))
    SyntheticSearch(spec, folder).run()


def test_a_recording_can_be_continued_with_more_configurations(tmp_path: Path) -> None:
    path, out = tmp_path / "spec.yaml", tmp_path / "runs.jsonl"
    path.write_text(dump_spec(recorded_spec(search=GRID, halving={"rule": "stopping", "eta": 2})))
    line = [str(path), "--out", str(out), f"storage.path={tmp_path}/results"]
    record([*line, "--configurations", "3"], run_here)
    first = read_recording(out)
    record([*line, "--configurations", "5"], run_here)
    both = read_recording(out)
    assert (len(first.runs), len(both.runs)) == (3, 5)
    assert both.runs[:3] == first.runs
    assert both.epochs == (1, 2, 4, 8, 9)
    assert both.command.startswith("python -m benchmarks.record_rungs ")
    with pytest.raises(InvalidSettingsError, match="'demo-recorded' differs; give the study another name"):
        record([*line, "--configurations", "5", "run.seed=3"], run_here)


def test_a_recording_can_be_made_in_parts_whose_searches_are_gone(tmp_path: Path) -> None:
    path, out, stages = tmp_path / "spec.yaml", tmp_path / "runs.jsonl", tmp_path / "stages"
    path.write_text(dump_spec(recorded_spec(search=GRID)))
    line = [str(path), "--out", str(out), "--stages", str(stages)]
    (stages / "v1" / "ab" / "abc").mkdir(parents=True)
    record([*line, f"storage.path={tmp_path}/one", "--configurations", "4"], run_here)
    assert (tmp_path / "one/artifacts/v1/ab/abc").is_dir()
    assert str(tmp_path) not in out.read_text().replace(str(path), "SPEC"), "a recording is for others"
    first = read_recording(out)
    record([*line, f"storage.path={tmp_path}/two", "--configurations", "7", "--seed", "1"], run_here)
    both = read_recording(out)
    assert both.runs[:4] == first.runs
    assert 7 <= len(both.runs) <= 11
    values = [json.dumps(run.values, sort_keys=True) for run in both.runs]
    assert len(set(values)) == len(values)
    assert [line.partition(" --seed ")[2] for line in both.command.splitlines()] == ["0", "1"]
    other = [*line, f"storage.path={tmp_path}/three", "--configurations", "1", "--seed", "2", "run.seed=3"]
    with pytest.raises(InvalidSettingsError, match="all parts of a recording must have one spec"):
        record(other, run_here)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "made.jsonl"
    write_recording(make_recording(40), path)
    return path


def compare_rows(path: Path, out: Path, rows: Sequence[str], *options: str) -> list[dict[str, Any]]:
    line = [str(path), "--trainings", "8", "--eta", "3", "--seeds", "2", "--out", str(out)]
    compare([*line, *options, "--rows", *rows])
    cells: list[dict[str, Any]] = json.loads((out / "replay-made.json").read_text())
    return cells


def test_searches_are_compared_by_time_and_by_configurations(path: Path, tmp_path: Path) -> None:
    rows = ["random, none", "random, stopping", "random, promotion"]
    found = {(cell["row"], cell["seed"]): cell for cell in compare_rows(path, tmp_path, rows)}
    assert len(found) == 6
    for seed in (0, 1):
        whole = found["random, none", seed]
        assert whole["num_complete"] > whole["num_configurations"] - 3  # what still runs when the time is up
        for rule in ("stopping", "promotion"):
            halved = found[f"random, {rule}", seed]
            assert halved["num_configurations"] > whole["num_configurations"]
            assert halved["num_complete"] < halved["num_configurations"]
        for cell in found.values():
            counts, seconds, volumes = zip(*cell["steps"], strict=True)
            assert list(volumes) == sorted(set(volumes))
            assert list(counts) == sorted(counts)
            assert list(seconds) == sorted(seconds)
            assert seconds[-1] <= cell["seconds"]
    page = (tmp_path / "replay-made.md").read_text()
    assert "| random, promotion | 2 |" in page
    assert "make_recording" in page
    assert "--trainings 8 --slots 2 --eta 3 --seeds 2" in page
    for plot in ("time", "trials"):
        assert (tmp_path / f"replay-made-{plot}.svg").read_text().startswith("<?xml")


def test_finished_searches_are_not_run_again(path: Path, tmp_path: Path) -> None:
    first = compare_rows(path, tmp_path, ["random, none"])
    both = compare_rows(path, tmp_path, ["random, none", "random, stopping"])
    assert [cell for cell in both if cell["row"] == "random, none"] == first
    longer = compare_rows(path, tmp_path, ["random, none"], "--trainings", "9")
    assert {cell["trainings"] for cell in longer if cell["row"] == "random, none"} == {9.0}


def test_what_there_is_no_time_for_is_left_for_later(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError):
        compare_rows(path, tmp_path, ["random, none"], "--minutes", "-1")
    assert "the same command goes on" in capsys.readouterr().out
