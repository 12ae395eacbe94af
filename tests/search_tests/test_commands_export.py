"""``prunefront export`` of a network that a real, tiny pruning run made."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner, Result

from benchmarks.round_trip import put_images, run_alone
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import load_data
from pruning_core.errors import StorageError
from pruning_core.export import rebuild_network
from pruning_core.stages import ArtifactStore, load_slim_network
from reports.records import TrialRecord
from search.cli import app
from search.commands.export import without_folders
from search.exporting.checks import check_accuracy, check_cost, check_key
from search.studies.folder import StudyFolder
from tests.reports_tests.synthetic import make_record
from tests.search_tests.finished_study import CONFIG, make_finished_study

runner = CliRunner()
QUICKLY = ("--formats", "safetensors")


def complete_record() -> TrialRecord:
    """The record of a run that lies in the store of ``finished``, but for its scores."""
    return make_record(0).model_copy(
        update={"study": "tiny", "method": "l1", "config": CONFIG.model_dump(mode="json")}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of one complete trial (0), with its artifacts, and one that failed (1)."""
    return make_finished_study(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def whole(finished: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The network with all options, and what was printed."""
    out = tmp_path_factory.mktemp("whole") / "network"
    result = export(finished, "0", "--int8", "--fold-batch-norm", "--out", str(out))
    assert result.exit_code == 0, result.output
    return out, result.stdout


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


def test_an_export_is_checked_scored_on_test_images_and_rebuilds_the_network(
    finished: StudyFolder, whole: tuple[Path, str]
) -> None:
    folder, printed = whole
    assert f"{folder}\n" in printed
    assert "trial 0 of study tiny: cifar_resnet8 with " in printed
    assert "counted again" in printed
    assert re.search(r"validation: \d+ of 30 right, as recorded", printed)
    assert "; on 60 images" in printed
    assert re.search(r"in int8 .*; on \S+% of them the same answer", printed)
    assert "onnx equals the network to " in printed
    assert "pt2 equals the network " in printed
    assert "9 batch normalisations folded" in printed
    assert {path.name for path in folder.iterdir()} == {
        "checksums.json", "example.npz", "model_card.md", "network-int8.onnx", "network.json", "network.onnx",
        "network.pt2", "preprocessing.json", "weights.safetensors",
    }  # fmt: skip
    images_NCHW = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    rebuilt, slim = rebuild_network(folder), slim_network(finished)
    torch.testing.assert_close(rebuilt(images_NCHW), slim(images_NCHW), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in rebuilt.modules())


def test_an_export_carries_what_is_known_of_the_network(whole: tuple[Path, str]) -> None:
    facts = json.loads((whole[0] / "network.json").read_text())["facts"]
    assert (facts["study"], facts["trial"], facts["method"]) == ("tiny", 0, "l1")
    assert facts["varied"] == {"budgets.macs": 0.5}
    assert facts["config"] == CONFIG.model_dump(mode="json")
    assert facts["macs_share"] <= 0.5
    assert facts["test"]["num_images"] == 60
    assert facts["int8"]["num_same_test"] <= 60
    assert facts["int8"]["calibration_images"] == 90


def test_settings_that_are_passed_on_name_files_and_not_where_they_lie() -> None:
    plain = CONFIG.model_dump(mode="json")
    plain["dataset"]["root"] = "/home/someone/cifar10.npz"
    plain["architecture"]["checkpoint"] = "/home/someone/dense.pt"
    plain["latency_table"] = "/home/someone/cpu.json"
    found = without_folders(plain)
    assert (found["dataset"]["root"], found["architecture"]["checkpoint"]) == ("cifar10.npz", "dense.pt")
    assert found["latency_table"] == "cpu.json"
    assert plain["dataset"]["root"] == "/home/someone/cifar10.npz"
    assert without_folders(CONFIG.model_dump(mode="json")) == CONFIG.model_dump(mode="json")


# ---- what the files give where nothing of ours is


def python_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.integration
def test_by_the_snippets_of_the_card_each_file_alone_predicts_as_the_network_does(
    finished: StudyFolder, whole: tuple[Path, str], tmp_path: Path
) -> None:
    """Real test images, as pixels; in new processes, in a copy of the folder."""
    data = load_data(CONFIG.dataset)
    pixels_NCHW = data.test.read(torch.arange(len(data.test)))
    with torch.no_grad():
        expected_NC = slim_network(finished)(data.normalisation.apply(pixels_NCHW)).numpy()
    folder = shutil.copytree(whole[0], tmp_path / "elsewhere")
    put_images(folder, pixels_NCHW.numpy(), expected_NC)
    prepare, *loads = python_blocks((folder / "model_card.md").read_text())
    assert len(prepare.splitlines()) == 5
    for name, load in zip(("onnx", "pt2", "safetensors", "int8"), loads, strict=True):
        alone = run_alone(folder, name, tmp_path, prepare + load)
        printed, found_NC = alone.printed.splitlines(), alone.logits_NC
        names = [data.class_names[label] for label in found_NC.argmax(1)]
        assert printed[0] == str(names)
        difference = np.abs(found_NC - expected_NC).max()
        assert float(printed[1].split()[2]) == pytest.approx(difference, rel=1e-3)
        if name != "int8":
            assert (found_NC.argmax(1) == expected_NC.argmax(1)).all()
            assert difference <= 1e-5 * np.abs(expected_NC).max()


# ---- which trial


def test_picked_is_the_network_that_was_picked_last(study: StudyFolder) -> None:
    runner.invoke(app, ["pick", "tiny", "--knee", "--storage", str(study.root)])
    result = export(study, "picked", *QUICKLY)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("trial 0 of study tiny")


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


# ---- where to


def test_exporting_again_replaces_the_studys_own_export(study: StudyFolder) -> None:
    assert [export(study, "0", *QUICKLY).exit_code for _ in range(2)] == [0, 0]
    assert [path.name for path in study.exports_path.iterdir()] == ["trial-0000"]


def test_a_folder_of_the_users_own_is_not_replaced(study: StudyFolder, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "precious.txt").touch()
    for options, problem in (
        ((), "the export folder must be new"),
        (("--overwrite",), "must be an earlier export"),
    ):
        result = export(study, "0", "--out", str(out), *options)
        assert result.exit_code == 2
        assert problem in result.stderr
        assert [path.name for path in out.iterdir()] == ["precious.txt"]


def test_an_export_can_go_elsewhere_and_be_overwritten_there(study: StudyFolder, tmp_path: Path) -> None:
    out = tmp_path / "new/place"
    assert export(study, "0", "--out", str(out), *QUICKLY).exit_code == 0
    (out / "weights.safetensors").write_text("broken")
    result = export(study, "0", "--out", str(out), "--overwrite", *QUICKLY)
    assert result.exit_code == 0, result.output
    rebuild_network(out)
    assert not study.exports_path.exists()


def test_a_place_that_cannot_be_written_is_told_in_one_line(study: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = export(study, "0", "--out", str(tmp_path / "file/network"), *QUICKLY)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "Not a directory" in result.stderr


# ---- in what form


def test_only_the_formats_asked_for_are_written(study: StudyFolder) -> None:
    export(study, "0", *QUICKLY)
    assert {path.name for path in (study.exports_path / "trial-0000").iterdir()} == {
        "checksums.json", "example.npz", "model_card.md", "network.json", "preprocessing.json", "weights.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--formats", "onnx,tflite"],
            "formats of an export must be some of onnx, pt2, safetensors, but got 'tflite'",
        ),
        (["--formats", ","], "formats of an export must be some of onnx, pt2, safetensors, but got 'none'"),
        (["--formats", "pt2", "--int8"], "--int8 needs the format onnx"),
        (
            ["--target-size", "small"],
            "a size must be a number of bytes such as 1MB or 300KB, but got 'small'",
        ),
        (["--target-size", "50%"], "a size must be a number of bytes"),
        (["--target-size", "0"], "a size must be a number of bytes"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(
    study: StudyFolder, options: list[str], problem: str
) -> None:
    shutil.rmtree(study.artifacts_path)
    result = export(study, "0", *options)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_target_leaves_out_what_is_too_large(study: StudyFolder) -> None:
    result = export(study, "0", "--formats", "onnx,safetensors", "--target-size", "0.2MB")
    assert result.exit_code == 0, result.output
    folder = study.exports_path / "trial-0000"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    small = [name for name in ("network.onnx", "weights.safetensors", "network-int8.onnx") if name in sizes]
    assert small
    assert all(sizes[name] <= 200_000 for name in small)


def test_a_target_that_only_int8_meets_is_met_in_int8_and_its_loss_is_said(
    study: StudyFolder, whole: tuple[Path, str]
) -> None:
    sizes = {path.name: path.stat().st_size for path in whole[0].iterdir()}
    target = sizes["network-int8.onnx"] + 1000
    assert target < sizes["network.onnx"]
    result = export(study, "0", "--formats", "onnx", "--target-size", str(target))
    assert result.exit_code == 0, result.output
    folder = study.exports_path / "trial-0000"
    assert (folder / "network-int8.onnx").is_file()
    assert not (folder / "network.onnx").exists()
    assert "in int8 " in result.stdout
    assert "left out: network.onnx, " in result.stdout
    card = (folder / "model_card.md").read_text()
    assert f"at most {target:,} bytes. Left out: `network.onnx`" in card
    assert "this network in int8" in card


def test_a_target_out_of_reach_is_refused_with_what_was_reached(study: StudyFolder) -> None:
    result = export(study, "0", "--formats", "onnx", "--target-size", "1KB")
    assert result.exit_code == 2
    assert (
        "must have at most 1.00KB, but the smallest that runs by itself is too large: network-int8.onnx "
        in result.stderr
    )
    assert not list(study.exports_path.glob("*"))


# ---- is it what was recorded?


def test_a_network_that_costs_something_else_is_refused(study: StudyFolder) -> None:
    record = make_record(3)
    with pytest.raises(
        StorageError, match=r"network of trial 3 must cost what was recorded, \d+ MACs .* but it costs"
    ):
        check_cost(slim_network(study), record, (1, 16, 16))


def recorded(record: TrialRecord, **scores: int) -> TrialRecord:
    assert record.scores is not None
    return record.model_copy(update={"scores": record.scores.model_copy(update=scores)})


def test_a_network_that_is_right_on_other_counts_is_refused_beyond_a_flip(study: StudyFolder) -> None:
    data, network = load_data(CONFIG.dataset), slim_network(study)
    found = count_right(network)
    base = recorded(complete_record(), num_images=30, num_correct_dense=1)
    for difference in (-1, 0, 1):
        one = recorded(base, num_correct_fine_tuned=found + difference)
        assert check_accuracy(network, one, data).num_correct == found
    with pytest.raises(
        StorageError, match=rf"right on {found - 2} of 30 .*, give or take 1, but is on {found} of 30"
    ):
        check_accuracy(network, recorded(base, num_correct_fine_tuned=found - 2), data)
    with pytest.raises(StorageError, match="of 31 validation images"):
        check_accuracy(network, recorded(base, num_images=31, num_correct_fine_tuned=found), data)


def count_right(network: torch.nn.Module) -> int:
    data = load_data(CONFIG.dataset)
    labels_N = data.validation.labels_N
    with torch.no_grad():
        logits_NC = network(data.normalisation.apply(data.validation.read(torch.arange(len(labels_N)))))
    return int((logits_NC.argmax(1) == labels_N).sum())


def test_other_data_than_were_recorded_are_refused() -> None:
    other = load_config({"dataset": {"train_images": 120, "test_images": 60, "split_seed": 1}})
    with pytest.raises(
        StorageError, match=r"trial 0 must be run \w+ of its configuration and data, but these are run"
    ):
        check_key(CONFIG, load_data(other.dataset), complete_record())


def test_a_network_whose_artifact_is_gone_or_broken_is_refused(study: StudyFolder) -> None:
    for path in study.artifacts_path.rglob("tensors.safetensors"):
        path.write_bytes(b"broken")
    for _ in range(2):
        result = export(study, "0")
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert not study.exports_path.exists()
        shutil.rmtree(study.artifacts_path, ignore_errors=True)


def test_the_weights_are_those_of_the_fine_tuned_network(study: StudyFolder) -> None:
    export(study, "0", *QUICKLY)
    written = safetensors.torch.load_file(study.exports_path / "trial-0000/weights.safetensors")
    for name, tensor in slim_network(study).state_dict().items():
        torch.testing.assert_close(written[name], tensor, rtol=0, atol=0)
