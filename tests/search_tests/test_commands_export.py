"""``prunefront export`` of a network that a real, tiny pruning run made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner, Result

from pruning_core.config import PruningConfig, load_config
from pruning_core.data import load_data
from pruning_core.errors import StorageError
from pruning_core.export import rebuild_network
from pruning_core.stages import ArtifactStore, load_slim_network, run_trial
from reports.records import NetworkScores, TrialRecord, TrialStatus
from search.cli import app
from search.commands.export import check_cost
from search.study_folder import StudyFolder
from tests.reports_tests.synthetic import START, make_record
from tests.search_tests.stored_studies import store_study

runner = CliRunner()

CONFIG = load_config(
    {
        "method": "l1",
        "dataset": {"train_images": 120, "test_images": 60},
        "dense_training": {"epochs": 1},
        "fine_tuning": {"epochs": 1},
        "budgets": {"macs": 0.5},
    }
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of one complete trial (0), with its artifacts, and one that failed (1)."""
    root = tmp_path_factory.mktemp("finished")
    store = ArtifactStore(root / "results/artifacts")
    result = run_trial(CONFIG, data=load_data(CONFIG.dataset), store=store).to_plain()
    scores = NetworkScores(**{name: result[name] for name in NetworkScores.model_fields if name in result})
    complete = TrialRecord(
        study="tiny",
        number=0,
        trial_key=result["trial_key"],
        status=TrialStatus.COMPLETE,
        method="l1",
        seed=0,
        config=CONFIG.model_dump(mode="json"),
        varied={"budgets.macs": 0.5},
        scores=scores,
        finished_at=START + 1,
    )
    return store_study(root, [complete, make_record(1, status=TrialStatus.FAILED)])


@pytest.fixture
def study(finished: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A copy of the finished study, to be written to."""
    shutil.copytree(finished.root, tmp_path / "results")
    return StudyFolder(tmp_path / "results", "tiny")


def export(folder: StudyFolder, *arguments: str) -> Result:
    return runner.invoke(app, ["export", "tiny", *arguments, "--storage", str(folder.root)])


def slim_network(folder: StudyFolder, config: PruningConfig = CONFIG) -> torch.nn.Module:
    return load_slim_network(
        config, data=load_data(config.dataset), store=ArtifactStore(folder.artifacts_path)
    )


def test_an_export_is_checked_scored_on_test_images_and_rebuilds_the_network(study: StudyFolder) -> None:
    result = export(study, "0")
    assert result.exit_code == 0, result.output
    folder = study.exports_path / "trial-0000"
    assert f"{folder}\n" in result.stdout
    assert "trial 0 of study tiny: cifar_resnet8 with " in result.stdout
    assert "counted again" in result.stdout
    assert "; on 60 images" in result.stdout
    assert "onnx equals the network to " in result.stdout
    assert {path.name for path in folder.iterdir()} >= {"network.onnx", "weights.safetensors", "network.json"}
    images_NCHW = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rebuild_network(folder)(images_NCHW), slim_network(study)(images_NCHW))


def test_an_export_carries_what_is_known_of_the_network(study: StudyFolder) -> None:
    export(study, "0")
    facts = json.loads((study.exports_path / "trial-0000/network.json").read_text())["facts"]
    assert (facts["study"], facts["trial"], facts["method"]) == ("tiny", 0, "l1")
    assert facts["varied"] == {"budgets.macs": 0.5}
    assert facts["macs_share"] <= 0.5
    assert facts["test"]["num_images"] == 60


def test_picked_is_the_network_that_was_picked_last(study: StudyFolder) -> None:
    runner.invoke(app, ["pick", "tiny", "--knee", "--storage", str(study.root)])
    result = export(study, "picked")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("trial 0 of study tiny")


def test_exporting_again_replaces_the_studys_own_export(study: StudyFolder) -> None:
    assert [export(study, "0").exit_code for _ in range(2)] == [0, 0]


def test_a_folder_of_the_users_own_is_not_replaced(study: StudyFolder, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "precious.txt").touch()
    result = export(study, "0", "--out", str(out))
    assert result.exit_code == 2
    assert "the export folder must be new" in result.stderr
    assert [path.name for path in out.iterdir()] == ["precious.txt"]


def test_an_export_can_go_elsewhere(study: StudyFolder, tmp_path: Path) -> None:
    result = export(study, "0", "--out", str(tmp_path / "new/place"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new/place/network.onnx").is_file()
    assert not study.exports_path.exists()


@pytest.mark.parametrize(
    ("trial", "problem"),
    [
        ("7", "study 'tiny' has no trial 7. Complete trials: 0."),
        ("1", "trial 1 must be complete to have a network, but it is failed: NonFiniteLossError"),
        ("best", "a trial must be named by its number or as 'picked', but got 'best'"),
        ("picked", "a network of study 'tiny' must be picked, but none is"),
    ],
)
def test_a_trial_without_a_network_is_refused(study: StudyFolder, trial: str, problem: str) -> None:
    result = export(study, trial)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {problem}")
    assert not study.exports_path.exists()


def test_a_network_that_is_not_what_was_recorded_is_refused(study: StudyFolder) -> None:
    record = make_record(3)
    with pytest.raises(
        StorageError, match=r"network of trial 3 must cost what was recorded, \d+ MACs .* but it costs"
    ):
        check_cost(slim_network(study), record, (1, 16, 16))


def test_a_network_whose_artifact_is_gone_is_refused(study: StudyFolder) -> None:
    shutil.rmtree(study.artifacts_path)
    result = export(study, "0")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert not study.exports_path.exists()


def test_the_weights_are_those_of_the_fine_tuned_network(study: StudyFolder) -> None:
    export(study, "0")
    written = safetensors.torch.load_file(study.exports_path / "trial-0000/weights.safetensors")
    for name, tensor in slim_network(study).state_dict().items():
        torch.testing.assert_close(written[name], tensor, rtol=0, atol=0)
