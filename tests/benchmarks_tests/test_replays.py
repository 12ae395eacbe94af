"""Recording a study's rungs, and comparing rules on a recording; nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record_rungs import main as record
from benchmarks.replay import main as compare
from pruning_core.errors import InvalidSettingsError
from search.replay.recording import read_recording, write_recording
from search.spec import SearchSpec, dump_spec
from search.study_folder import StudyFolder
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


def test_rules_are_compared_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    write_recording(make_recording(40), path)
    compare(
        [
            str(path),
            "--samplers",
            "random",
            "--trainings",
            "8",
            "--seeds",
            "2",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    found = json.loads((tmp_path / "out" / "replay.json").read_text())
    rows = {(row["rule"], row["seed"]): row for row in found["rows"]}
    assert len(rows) == 8
    for seed in (0, 1):
        whole = rows["none", seed]
        assert whole["num_configurations"] == whole["num_complete"]
        assert rows["all", seed]["hypervolumes"] == whole["hypervolumes"]
        for rule in ("stopping", "promotion"):
            assert rows[rule, seed]["num_configurations"] > whole["num_configurations"]
            assert rows[rule, seed]["num_complete"] < rows[rule, seed]["num_configurations"]
        volumes = list(whole["hypervolumes"].values())
        assert volumes == sorted(volumes)
    page = (tmp_path / "out" / "replay.md").read_text()
    assert "| promotion | random |" in page
    assert "make_recording" in page
