"""The main job as a person types it: launch, status, pick, export; each a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
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


def prunefront(folder: Path, *arguments: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from search.cli import main; main()"
    line = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done


def test_a_search_ends_in_a_front_a_pick_and_a_network_that_onnxruntime_runs(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    launched = prunefront(tmp_path, "launch", "spec.yaml").stdout
    assert "4 of 4 trials done" in launched
    assert launched.rstrip().splitlines()[-3].startswith("  prunefront pick tiny --knee ")
    assert (tmp_path / "results/tiny/report/report.html").is_file()

    status = json.loads(prunefront(tmp_path, "status", "tiny", "--json").stdout)
    assert status["trials"] == {"complete": 4}
    assert status["rungs"] == {"1": 4}
    assert not status["is_running"]
    assert all(member["macs"] > 0 for member in status["front"])

    picked = json.loads(prunefront(tmp_path, "pick", "tiny", "--max-flops", "95%", "--json").stdout)
    assert picked["trial"] in {member["trial"] for member in status["front"]}
    assert picked["export_command"] == "prunefront export tiny picked"

    exported = prunefront(tmp_path, "export", "tiny", "picked").stdout
    assert "test accuracy" in exported
    assert "onnx equals the network to" in exported
    folder = tmp_path / f"results/tiny/exports/trial-{picked['trial']:04d}"
    assert (folder / "network.onnx").is_file()

    refused = prunefront(tmp_path, "launch", "spec.yaml", exit_code=2)
    assert refused.stderr.startswith("error: a new study must have a new name, but 'tiny' exists")
    assert prunefront(tmp_path, "pick", "tiny", "--max-flops", "1%", exit_code=1).stdout.count("Trial ") >= 1
