"""A search on a Ray cluster of three nodes on this machine, one of which is lost while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.records import TrialStatus
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.timeline import read_timeline
from tests.integration_tests.command_line import run_command, start_command
from tests.integration_tests.ray_nodes import RayNodes

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 400
NUM_TRIALS = 8

NETWORK = """\
from torch import nn

from small_blocks import block  # beside this file, and nowhere else


def create(num_classes, in_channels):
    return nn.Sequential(
        block(in_channels, 8), block(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes)
    )
"""
BLOCKS = """\
from torch import nn


def block(num_in, num_out):
    return nn.Sequential(nn.Conv2d(num_in, num_out, 3, padding=1), nn.BatchNorm2d(num_out), nn.ReLU())
"""
SPEC = f"""\
study: far
run:
  architecture: {{name: "small_network:create"}}
  dataset: {{train_images: 400, test_images: 100}}
  dense_training: {{epochs: 2}}
  method: l1
  fine_tuning: {{epochs: 24, learning_rate: 0.02}}
search:
  budgets.macs: {{low: 0.3, high: 0.9}}
first: [{{budgets.macs: 0.9}}, {{budgets.macs: 0.3}}]
limits: {{trials: {NUM_TRIALS}, max_failures: 3}}
"""


@pytest.fixture
def nodes(request: pytest.FixtureRequest) -> Iterator[RayNodes]:
    """Nodes with so many CPUs each; the first is the head."""
    with RayNodes(*request.param) as started:
        yield started


@pytest.mark.parametrize("nodes", [(1, 1, 1)], indirect=True)
def test_a_search_on_a_cluster_survives_the_loss_of_a_node(tmp_path: Path, nodes: RayNodes) -> None:
    (tmp_path / "small_network.py").write_text(NETWORK)
    (tmp_path / "small_blocks.py").write_text(BLOCKS)
    (tmp_path / "spec.yaml").write_text(SPEC)
    folder = StudyFolder(tmp_path / "results", "far")
    driver = start_command(tmp_path, "launch", "spec.yaml", "--address", nodes.address)
    try:
        give_up_at = time.monotonic() + PATIENCE_S
        while _num_finished(folder) < 2:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < give_up_at, "waited too long for two trials"
            time.sleep(0.2)
        nodes.kill(2)
        out, err = driver.communicate(timeout=PATIENCE_S)
    finally:
        driver.kill()
    assert driver.returncode == 0, out + err
    assert f"up to {NUM_TRIALS} trials, 3 at once" in out
    assert f"{NUM_TRIALS} of {NUM_TRIALS} trials done" in out
    events = [event for event in read_timeline(folder.timeline_path) if event["event"] == "item"]
    assert {event["status"] for event in events} == {"complete"}
    assert sum(event["kind"] == "stage" for event in events) == 1, "the dense network is built once"
    assert len({event["number"] for event in events if event["kind"] == "trial"}) == NUM_TRIALS
    assert len({event["pid"] for event in events}) >= 2
    found, _ = run_command(tmp_path, "doctor", "far", "--json")
    assert json.loads(found)["findings"] == []


@pytest.mark.parametrize("nodes", [(1, 2)], indirect=True)
def test_a_trial_on_a_cluster_may_be_trained_by_two_processes_of_a_node(
    tmp_path: Path, nodes: RayNodes
) -> None:
    (tmp_path / "small_network.py").write_text(NETWORK)
    (tmp_path / "small_blocks.py").write_text(BLOCKS)
    (tmp_path / "spec.yaml").write_text(SPEC)
    shared = ["resources.cpus_per_trial=2", "resources.processes_per_trial=2", "run.fine_tuning.epochs=2"]
    out, _ = run_command(
        tmp_path, "launch", "spec.yaml", "limits.trials=1", "first=[]", *shared, "--address", nodes.address
    )
    assert ", 1 at once" in out
    (record,) = read_study(StudyFolder(tmp_path / "results", "far")).records
    assert record.status is TrialStatus.COMPLETE
    found, _ = run_command(tmp_path, "doctor", "far", "--json")
    assert json.loads(found)["findings"] == []


def _num_finished(folder: StudyFolder) -> int:
    if not folder.timeline_path.exists():
        return 0
    return sum(event.get("kind") == "trial" for event in read_timeline(folder.timeline_path))
