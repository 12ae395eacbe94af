"""A search whose trials are run by two processes each, with gloo on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.records import TrialStatus
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.timeline import read_timeline
from tests.integration_tests.command_line import run_command

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]

SPEC = """\
study: shared
run:
  architecture: {name: cifar_resnet8, width: 0.5}
  dataset: {train_images: 300, test_images: 50}
  method: l1
  dense_training: {epochs: 2, batch_size: 32}
  fine_tuning: {epochs: 2, batch_size: 32}
search: {budgets.macs: {low: 0.4, high: 0.9}}
first: [{budgets.macs: 0.5}]
limits: {trials: 1}
resources: {slots: 1, cpus_per_trial: 2, processes_per_trial: 2}
"""


def test_stages_and_trials_are_run_by_two_processes(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    run_command(tmp_path, "launch", "spec.yaml")
    folder = StudyFolder(tmp_path / "results", "shared")
    (record,) = read_study(folder).records
    assert record.status is TrialStatus.COMPLETE
    assert record.scores is not None
    assert 0.4 < record.scores.macs_share <= 0.5
    items = [event for event in read_timeline(folder.timeline_path) if event["event"] == "item"]
    assert [event["name"] for event in items] == ["dense", "trial"]
    assert len({event["pid"] for event in items}) == 2, "each item has processes of its own"
