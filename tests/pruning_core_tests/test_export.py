"""Shape suffixes: N images, C classes, H and W height and width."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
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
    EXPORTERS,
    ExportedFile,
    ExportReport,
    NetworkOrigin,
    export_network,
    exported_file,
    network_folder,
    rebuild_network,
)
from pruning_core.export.network_description import read_description
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.pt2_file import export_pt2
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
    folded: Mapping[str, str] = field(default_factory=dict)


def _slim() -> _Slim:
    dense, graph = network_named("cifar_resnet8_zero_pad"), graph_of("cifar_resnet8_zero_pad", "inner")
    selection = random_selection(graph, share=0.5)
    return _Slim(remove_channels(dense, graph, selection), slim_layout(dense, graph, selection))


def _export(
    folder: Path, slim: _Slim, formats: Sequence[str] = ("safetensors",), **options: Any
) -> ExportReport:
    """Export in the quick format unless others are asked for."""
    origin = NetworkOrigin(
        architecture=ARCHITECTURE,
        layout=slim.layout,
        folded=slim.folded,
        input_shape=IMAGE,
        class_names=[f"class {number}" for number in range(10)],
        normalisation={"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]},
        facts=FACTS,
    )
    return export_network(slim.network, folder, origin, example_images=images(4), formats=formats, **options)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The slim network, exported once in every format."""
    return _export(tmp_path_factory.mktemp("exports") / "new" / "slim", _slim(), tuple(EXPORTERS))


def test_the_folder_holds_every_format_the_description_and_the_sums(exported: ExportReport) -> None:
    assert [path.name for path in sorted(exported.folder.iterdir())] == [
        "checksums.json", "example.npz", "network.json", "network.onnx", "network.pt2", "preprocessing.json",
        "weights.safetensors",
    ]  # fmt: skip
    assert [path.name for path in exported.folder.parent.iterdir()] == ["slim"]
    assert json.loads((exported.folder / "checksums.json").read_text()) == exported.checksums
    assert set(exported.checksums) == set(exported.num_bytes) - {"checksums.json"}
    assert exported.num_bytes["network.onnx"] == (exported.folder / "network.onnx").stat().st_size
    assert list(exported.files) == list(EXPORTERS)
    assert max(file.relative_difference for file in exported.files.values()) <= 1e-5


def test_the_description_says_what_goes_in_and_what_comes_out(exported: ExportReport) -> None:
    description = json.loads((exported.folder / "network.json").read_text())
    assert description["architecture"] == ARCHITECTURE
    assert (description["in_channels"], description["num_classes"]) == (3, 10)
    assert description["facts"] == FACTS
    assert json.loads((exported.folder / "preprocessing.json").read_text()) == {
        "input": "images",
        "output": "logits",
        "layout": "NCHW",
        "dtype": "float32",
        "channels": "RGB",
        "size": [32, 32],
        "resize": "bilinear, without keeping the aspect ratio",
        "pixel_range": [0, 255],
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.3],
        "formula": "(pixel / 255 - mean) / std",
        "class_names": [f"class {number}" for number in range(10)],
    }


def test_the_example_can_be_recomputed_from_what_is_written_beside_it(exported: ExportReport) -> None:
    example = np.load(exported.folder / "example.npz")
    about = json.loads((exported.folder / "preprocessing.json").read_text())
    assert example["pixels"].dtype == np.uint8
    assert example["pixels"].shape == (2, *IMAGE)
    mean, std = (np.float32(about[name]).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    images_NCHW = torch.from_numpy((example["pixels"] / np.float32(255) - mean) / std)
    with torch.no_grad():
        expected_NC = _slim().network(images_NCHW).numpy()
    np.testing.assert_allclose(example["logits"], expected_NC, atol=1e-5 * np.abs(expected_NC).max())


def test_no_file_says_where_or_by_what_lines_it_was_made(exported: ExportReport) -> None:
    for name in ("network.onnx", "network.pt2"):
        content = (exported.folder / name).read_bytes()
        assert b"cifar_resnet.py" not in content
        assert str(Path(network_folder.__file__).parents[2]).encode() not in content


def test_an_exported_network_is_rebuilt_bit_for_bit_from_plain_data(exported: ExportReport) -> None:
    network = rebuild_network(exported.folder)
    assert not network.training
    with torch.no_grad():
        assert torch.equal(network(images()), _slim().network(images()))


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_the_pt2_file_takes_any_batch(exported: ExportReport, batch: int) -> None:
    program = torch.export.load(exported.folder / "network.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(program(images(batch)), _slim().network(images(batch)), rtol=0, atol=0)


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
    assert [entry.version for entry in model.opset_import] == [exported.files["onnx"].facts["opset"]] == [18]


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


def test_only_an_earlier_export_or_an_empty_folder_is_overwritten(tmp_path: Path) -> None:
    mine, empty, link = tmp_path / "mine", tmp_path / "empty", tmp_path / "link"
    mine.mkdir()
    (mine / "precious.txt").touch()
    link.symlink_to(mine)
    for folder in (mine, link, mine / "precious.txt"):
        with pytest.raises(InvalidSettingsError, match=r"must be an earlier export, but .* is not"):
            _export(folder, _slim(), overwrite=True)
    assert [path.name for path in mine.iterdir()] == ["precious.txt"]
    empty.mkdir()
    _export(empty, _slim(), overwrite=True)
    assert (empty / "network.json").is_file()


@pytest.mark.parametrize(("formats", "came"), [(("onnx", "tflite"), "'tflite'"), ((), "'none'")])
def test_unknown_formats_are_refused_with_the_known_ones(
    tmp_path: Path, formats: tuple[str, ...], came: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=rf"some of onnx, pt2, safetensors, but got {came}"):
        _export(tmp_path / "slim", _slim(), formats)
    assert list(tmp_path.iterdir()) == []


def test_what_completes_an_export_adds_files_and_facts_and_takes_files_away(tmp_path: Path) -> None:
    def complete(folder: Path, files: dict[str, ExportedFile]) -> Mapping[str, Any]:
        (folder / "notes.md").write_text("notes")
        (folder / files.pop("safetensors").name).unlink()
        return {"added": 1}

    report = _export(tmp_path / "slim", _slim(), complete=complete)
    assert report.files == {}
    assert set(report.checksums) == {"example.npz", "network.json", "notes.md", "preprocessing.json"}
    assert read_description(report.folder).facts == {**FACTS, "added": 1}
    with pytest.raises(InvalidCheckpointError, match=r"must have weights\.safetensors to be rebuilt"):
        rebuild_network(report.folder)


def test_a_failed_export_leaves_nothing_behind_and_an_old_one_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_network: nn.Module, _folder: Path, _images: Tensor) -> ExportedFile:
        raise UnsupportedNetworkError("it differs")

    monkeypatch.setattr(network_folder, "EXPORTERS", {"failing": fail})
    with pytest.raises(UnsupportedNetworkError, match="it differs"):
        _export(tmp_path / "slim", _slim(), ("failing",))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "slim").mkdir()
    (tmp_path / "slim" / "checksums.json").touch()
    with pytest.raises(UnsupportedNetworkError, match="it differs"):
        _export(tmp_path / "slim", _slim(), ("failing",), overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["slim", "checksums.json"]


def test_a_disk_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"must be written to .*slim, but"):
        _export(tmp_path / "file" / "slim", _slim())


def test_a_file_that_computes_something_else_is_refused_with_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported_file, "TOLERANCE", -1.0)
    small = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)).eval()
    with pytest.raises(UnsupportedNetworkError, match=r"onnxruntime differs by \d"):
        export_onnx(small, tmp_path, images(1))
    with pytest.raises(UnsupportedNetworkError, match=r"torch\.export differs by \d"):
        export_pt2(small, tmp_path, images(1))


def test_a_network_that_torch_cannot_follow_is_refused_in_one_line(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, images_NCHW: Tensor) -> Tensor:
            return images_NCHW.flatten(1) if images_NCHW.sum() > 0 else -images_NCHW.flatten(1)

    with pytest.raises(
        UnsupportedNetworkError, match=r"that torch\.export can follow, but: .*; export"
    ) as caught:
        export_pt2(Branching().eval(), tmp_path, images(1))
    assert "\n" not in str(caught.value)


def test_a_network_on_another_precision_is_rebuilt_in_it(tmp_path: Path) -> None:
    slim = _slim()
    _export(tmp_path / "slim", _Slim(slim.network.double(), slim.layout))
    assert {p.dtype for p in rebuild_network(tmp_path / "slim").parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("network.json", None, r"must have network\.json, but .* cannot be read"),
        ("network.json", "{", "must describe a network, but it is wrong"),
        ("network.json", '{"format_version": 2}', "'?architecture'? is wrong: Field required"),
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


def test_weights_that_do_not_fit_the_layout_are_refused(tmp_path: Path) -> None:
    _export(tmp_path / "slim", _Slim(_slim().network, {}))
    with pytest.raises(InvalidCheckpointError, match=r"must fit the network that network\.json describes"):
        rebuild_network(tmp_path / "slim")


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    folder = _export(tmp_path / "slim", _slim()).folder
    text = (folder / "network.json").read_text().replace('"format_version": 2', '"format_version": 99')
    (folder / "network.json").write_text(text)
    with pytest.raises(InvalidCheckpointError, match="must be of format version 2, but is of 99"):
        rebuild_network(folder)
