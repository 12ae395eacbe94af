"""A real search whose artifacts lie on an S3 server: it ends, goes on, shares, and its networks can be used."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner, Result

from reports.page import ReportFiles, write_report
from reports.records import StudyRecords
from search.cli import app
from search.commands.launch import launch_study, resume_study
from search.doctor import Patient, examine
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.tracking.store import create_database
from tests.integration_tests.conftest import OTHERS_WARNINGS
from tests.integration_tests.real_search import run_without_ray

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(warning) for warning in OTHERS_WARNINGS),
]

SPEC = """\
study: one
run:
  dataset: {train_images: 120, test_images: 60}
  dense_training: {epochs: 1}
  fine_tuning: {epochs: 1}
search:
  method: {choices: [l1, taylor]}
  budgets.macs: {low: 0.4, high: 0.9}
first:
  - {budgets.macs: 0.9, method: l1}
  - {budgets.macs: 0.5, method: taylor}
limits: {trials: 2}
"""


def prunefront(folder: StudyFolder, command: str, *arguments: str) -> Result:
    """Type a command on a study."""
    line = [command, folder.study, *arguments, "--storage", str(folder.root)]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    return result


def write_only(study: StudyRecords, folder: StudyFolder) -> ReportFiles:
    """Write a report and leave MLflow alone."""
    return write_report(study, folder.report_path)


def test_a_search_lives_from_an_object_store(tmp_path: Path, object_store: ObjectStore) -> None:
    address, root = object_store.new_address(), tmp_path / "results"
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC + f"storage: {{path: {root}, artifacts: '{address}'}}\n")
    root.mkdir()
    create_database(root / "mlflow.db")
    one, two = StudyFolder(root, "one"), StudyFolder(root, "two")

    # Stopped after two items, resumed, and run to its end.
    with pytest.raises(typer.Exit):
        launch_study(spec, [], partial(run_without_ray, num_items=2), write_only)
    before = set(object_store.objects(address))
    assert len(before) >= 2
    resume_study("one", root, run_without_ray, write_only)
    records = read_study(one).records
    assert [record.status.value for record in records] == ["complete", "complete"]
    assert before < set(object_store.objects(address))
    assert not one.artifacts_path.exists()

    # Another study finds all that it shares.
    launch_study(spec, ["study=two"], run_without_ray, write_only)
    twins = read_study(two).records
    assert [record.artifact_keys for record in twins] == [record.artifact_keys for record in records]
    assert all({"dense", "fine_tune"} <= set(record.cached_stages) for record in twins)

    # A network is picked, scored once, exported, measured.
    picked = json.loads(prunefront(one, "pick", "--knee", "--json").stdout)
    assert picked["test"]["num_images"] == 60
    assert read_study(one).records[picked["trial"]].test is not None
    assert "counted again" in prunefront(one, "export", "picked", "--formats", "safetensors").stdout
    assert list((one.exports_path / f"trial-{picked['trial']:04d}").glob("*.safetensors"))
    assert "of dense" in prunefront(one, "latency", "--runtimes", "torch", "--repeats", "2").stdout

    # What is gone or spoilt is found and made again.
    assert examine(Patient(one))["artifacts"] == []
    dense, slim = (records[0].artifact_keys[stage] for stage in ("dense", "fine_tune"))
    names = {key: object_store.path_of(address, f"v1/{key[:2]}/{key}.safetensors") for key in (dense, slim)}
    object_store.client.delete_object(**names[slim])
    object_store.client.put_object(**names[dense], Body=b"short")
    found = examine(Patient(one))["artifacts"]
    assert found[0].problem.startswith(f"artifact {dense} cannot be read (it ends after 5 bytes")
    assert found[1].problem.startswith("trials 0 and 1: stages are not in the store any more")
    for finding in found:
        assert finding.mend is not None
        finding.mend()
    assert examine(Patient(one))["artifacts"] == []
