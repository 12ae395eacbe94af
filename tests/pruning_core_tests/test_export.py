"""Shape suffixes: N images, C classes, H and W height and width."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from pruning_core.channels import Layout, remove_channels, slim_layout
from pruning_core.errors import (
    InvalidCheckpointError,
    InvalidSettingsError,
    StorageError,
    UnsupportedNetworkError,
)
from pruning_core.export import (
    ExportedFile,
    ExportReport,
    export_network,
    network_folder,
    onnx_file,
    rebuild_network,
)
from pruning_core.export.safetensors_file import export_safetensors
from tests.pruning_core_tests.channel_networks import IMAGE, graph_of, images, network_named, random_selection

ARCHITECTURE = {
    "name": "cifar_resnet8",
    "shortcut": "zero_pad",
    "width": 1.0,
    "checkpoint": "dense.safetensors",
}
FACTS = {"validation_accuracy": 0.5, "macs": 1234}


@dataclass(frozen=True)
class _Slim:
    network: nn.Module
    layout: Layout


def _slim() -> _Slim:
    dense, graph = network_named("cifar_resnet8_zero_pad"), graph_of("cifar_resnet8_zero_pad", "inner")
    selection = random_selection(graph, share=0.5)
    return _Slim(remove_channels(dense, graph, selection), slim_layout(dense, graph, selection))


def _export(
    folder: Path, slim: _Slim, *, overwrite: bool = False, facts: Mapping[str, Any] = FACTS
) -> ExportReport:
    return export_network(
        slim.network,
        folder,
        architecture=ARCHITECTURE,
        layout=slim.layout,
        input_shape=IMAGE,
        class_names=[f"class {number}" for number in range(10)],
        normalisation={"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]},
        facts=facts,
        example_images=images(4),
        overwrite=overwrite,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The slim network, exported once in every format."""
    return _export(tmp_path_factory.mktemp("exports") / "new" / "slim", _slim())


@pytest.fixture
def only_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export in the quick format alone."""
    monkeypatch.setattr(network_folder, "EXPORTERS", {"safetensors": export_safetensors})


def test_the_folder_holds_every_format_the_description_and_the_sums(exported: ExportReport) -> None:
    assert [path.name for path in sorted(exported.folder.iterdir())] == [
        "checksums.json", "network.json", "network.onnx", "weights.safetensors",
    ]  # fmt: skip
    assert [path.name for path in exported.folder.parent.iterdir()] == ["slim"]
    assert json.loads((exported.folder / "checksums.json").read_text()) == exported.checksums
    assert set(exported.checksums) == {"network.json", "network.onnx", "weights.safetensors"}
    assert exported.num_bytes["network.onnx"] == (exported.folder / "network.onnx").stat().st_size
    assert exported.relative_differences.keys() == {"safetensors", "onnx"}
    assert max(exported.relative_differences.values()) <= 1e-5


def test_the_description_says_what_goes_in_and_what_comes_out(exported: ExportReport) -> None:
    description = json.loads((exported.folder / "network.json").read_text())
    assert description["architecture"] == ARCHITECTURE
    assert (description["in_channels"], description["num_classes"]) == (3, 10)
    assert description["class_names"][9] == "class 9"
    assert description["facts"] == FACTS
    assert description["preprocessing"] == {
        "formula": "(pixel / 255 - mean) / std",
        "mean": [0.4, 0.5, 0.6],
        "order": "NCHW",
        "size": [32, 32],
        "std": [0.2, 0.2, 0.3],
    }


def test_an_exported_network_is_rebuilt_bit_for_bit_from_plain_data(exported: ExportReport) -> None:
    network = rebuild_network(exported.folder)
    assert not network.training
    with torch.no_grad():
        assert torch.equal(network(images()), _slim().network(images()))


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_the_onnx_file_takes_any_batch_and_needs_no_other_file(
    exported: ExportReport, tmp_path: Path, batch: int
) -> None:
    alone = shutil.copy(exported.folder / "network.onnx", tmp_path)
    session = onnxruntime.InferenceSession(alone, providers=["CPUExecutionProvider"])
    found_NC = torch.from_numpy(session.run(["logits"], {"images": images(batch).numpy()})[0])
    with torch.no_grad():
        expected_NC = _slim().network(images(batch))
    assert (found_NC - expected_NC).abs().max() <= 1e-5 * expected_NC.abs().max()


def test_the_onnx_file_has_slim_weights_and_no_gates(exported: ExportReport) -> None:
    model = onnx.load(exported.folder / "network.onnx")
    assert {node.op_type for node in model.graph.node}.isdisjoint({"Mul", "Gather", "Where", "ScatterND"})
    stored = sum(torch.Size(tensor.dims).numel() for tensor in model.graph.initializer)
    trained = sum(parameter.numel() for parameter in _slim().network.parameters())
    assert stored <= trained + 200  # shapes and slices


@pytest.mark.usefixtures("only_weights")
def test_an_existing_folder_is_refused_unless_it_may_be_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "slim"
    _export(folder, _slim())
    (folder / "old.txt").write_text("from before")
    with pytest.raises(InvalidSettingsError, match=r"the export folder must be new, but .*slim exists"):
        _export(folder, _slim())
    assert (folder / "old.txt").exists()
    _export(folder, _slim(), overwrite=True)
    assert not (folder / "old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["slim"]


def test_a_failed_export_leaves_nothing_behind_and_an_old_one_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_network: nn.Module, _folder: Path, _images: Tensor) -> ExportedFile:
        raise UnsupportedNetworkError("it differs")

    monkeypatch.setattr(network_folder, "EXPORTERS", {"failing": fail})
    with pytest.raises(UnsupportedNetworkError, match="it differs"):
        _export(tmp_path / "slim", _slim())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "slim").mkdir()
    (tmp_path / "slim" / "old.txt").touch()
    with pytest.raises(UnsupportedNetworkError, match="it differs"):
        _export(tmp_path / "slim", _slim(), overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["slim", "old.txt"]


def test_a_disk_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"must be written to .*slim, but"):
        _export(tmp_path / "file" / "slim", _slim())


def test_a_file_that_computes_something_else_is_refused_with_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    small = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)).eval()
    with pytest.raises(UnsupportedNetworkError, match=r"onnxruntime differs by \d"):
        onnx_file.export_onnx(small, tmp_path, images(1))


@pytest.mark.usefixtures("only_weights")
def test_a_network_on_another_precision_is_rebuilt_in_it(tmp_path: Path) -> None:
    slim = _slim()
    _export(tmp_path / "slim", _Slim(slim.network.double(), slim.layout))
    assert {p.dtype for p in rebuild_network(tmp_path / "slim").parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("network.json", None, r"must have network\.json, but .* cannot be read"),
        ("network.json", "{", "must describe a network, but it is wrong"),
        ("network.json", '{"format_version": 1}', "'?architecture'? is wrong: Field required"),
        ("weights.safetensors", "short", r"must be as it was written, but weights\.safetensors was changed"),
        ("weights.safetensors", None, "must be complete, but"),
        ("checksums.json", None, "must be complete, but"),
    ],
)
def test_damaged_exports_are_refused(
    exported: ExportReport, tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    folder = Path(shutil.copytree(exported.folder, tmp_path / "copy"))
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(InvalidCheckpointError, match=message):
        rebuild_network(folder)


@pytest.mark.usefixtures("only_weights")
def test_weights_that_do_not_fit_the_layout_are_refused(tmp_path: Path) -> None:
    _export(tmp_path / "slim", _Slim(_slim().network, {}))
    with pytest.raises(InvalidCheckpointError, match=r"must fit the network that network\.json describes"):
        rebuild_network(tmp_path / "slim")


@pytest.mark.usefixtures("only_weights")
def test_another_format_version_is_refused(tmp_path: Path) -> None:
    folder = _export(tmp_path / "slim", _slim()).folder
    text = (folder / "network.json").read_text().replace('"format_version": 1', '"format_version": 99')
    (folder / "network.json").write_text(text)
    with pytest.raises(InvalidCheckpointError, match="must be of format version 1, but is of 99"):
        rebuild_network(folder)
