"""Shape suffixes: N images, C channels, H and W height and width."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from torch import nn

from pruning_core.errors import UnsupportedNetworkError
from pruning_core.export import OnnxNetwork, quantise_onnx
from pruning_core.export.onnx_file import export_onnx
from tests.pruning_core_tests.channel_networks import build_lively, images


def _network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


def test_weights_are_stored_in_8_bits_per_channel_and_the_result_is_near(tmp_path: Path) -> None:
    network = build_lively(_network)
    export_onnx(network, tmp_path, images(4))
    content = (tmp_path / "network.onnx").read_bytes()
    batches = [images(32, seed=seed) for seed in range(4)]
    file = quantise_onnx(tmp_path, batches, images(16))
    assert {path.name for path in tmp_path.iterdir()} == {"network.onnx", file.name}
    assert (tmp_path / "network.onnx").read_bytes() == content
    assert file.facts == {"opset": 18, "calibration_images": 128}
    assert 0 < file.relative_difference < 0.1
    model = onnx.load(tmp_path / file.name)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    weights = [
        one
        for one in model.graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4
    ]
    assert sorted(tuple(one.dims) for one in weights) == [(16, 3, 3, 3), (16, 16, 3, 3)]
    scales = [
        one for one in model.graph.initializer if one.name.endswith("_scale") and list(one.dims) == [16]
    ]
    assert len(scales) >= 2  # one per output channel
    for batch in (1, 5):
        expected_NC = network(images(batch))
        found_NC = OnnxNetwork(tmp_path / file.name)(images(batch))
        assert found_NC.shape == (batch, 10)
        assert (found_NC - expected_NC).abs().max() <= 0.1 * expected_NC.abs().max()


def test_the_result_depends_on_the_calibration_images(tmp_path: Path) -> None:
    network = build_lively(_network)
    export_onnx(network, tmp_path, images(4))
    good = quantise_onnx(tmp_path, [images(32)], images(16)).relative_difference
    dark = quantise_onnx(tmp_path, [0.01 * images(32)], images(16)).relative_difference
    assert dark > 3 * good


def test_a_file_that_cannot_be_quantised_is_refused_in_one_line(tmp_path: Path) -> None:
    export_onnx(build_lively(_network), tmp_path, images(4))
    with pytest.raises(
        UnsupportedNetworkError, match="must be one that onnxruntime can quantise, but: "
    ) as caught:
        quantise_onnx(tmp_path, [], images(4))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
