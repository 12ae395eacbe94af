"""The main job as a person types it: launch, status, pick, export; each a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration_tests.command_line import run_command

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SPEC = """\
study: tiny
run:
  dataset: {train_images: 300, test_images: 100}
  dense_training: {epochs: 3}
  saliency: {predictor: {epochs: 1}, selector: {epochs: 1}}
  gates: {steps: 10, num_images: 100}
  fine_tuning: {epochs: 2, learning_rate: 0.05}
search:
  budgets.macs: {low: 0.3, high: 0.9}
  saliency.num_basis: {choices: [1, 2]}
first: [{budgets.macs: 0.9}, {budgets.macs: 0.3}]
halving: {rule: all}
limits: {trials: 4}
resources: {slots: 2}
"""


def test_a_search_ends_in_a_front_a_pick_and_a_network_that_onnxruntime_runs(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    launched = run_command(tmp_path, "launch", "spec.yaml")[0]
    assert "4 of 4 trials done" in launched
    assert launched.rstrip().splitlines()[-3].startswith("  prunefront pick tiny --knee ")
    assert (tmp_path / "results/tiny/report/report.html").is_file()

    status = json.loads(run_command(tmp_path, "status", "tiny", "--json")[0])
    assert status["trials"] == {"complete": 4}
    assert status["rungs"] == {"1": 4}
    assert not status["is_running"]
    assert all(member["macs"] > 0 for member in status["front"])

    picked = json.loads(run_command(tmp_path, "pick", "tiny", "--max-flops", "95%", "--json")[0])
    assert picked["trial"] in {member["trial"] for member in status["front"]}
    assert picked["export_command"] == "prunefront export tiny picked"

    exported = run_command(tmp_path, "export", "tiny", "picked")[0]
    assert "test accuracy" in exported
    assert "onnx equals the network to" in exported
    folder = tmp_path / f"results/tiny/exports/trial-{picked['trial']:04d}"
    assert (folder / "network.onnx").is_file()

    _, refusal = run_command(tmp_path, "launch", "spec.yaml", exit_code=2)
    assert refusal.startswith("error: a new study must have a new name, but 'tiny' exists")
    assert run_command(tmp_path, "pick", "tiny", "--max-flops", "1%", exit_code=1)[0].count("Trial ") >= 1
