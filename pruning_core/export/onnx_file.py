"""One self-contained ONNX file for any batch size, checked in onnxruntime.

Shape suffixes used in this file:
    N, C, H, W  images, channels (classes of logits), height, width
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import Tensor, nn

from pruning_core.export.exported_file import (
    INPUT_NAME,
    OUTPUT_NAME,
    ExportedFile,
    NetworkExporter,
    check_difference,
    largest_difference,
    tracing_images,
)
from pruning_core.export.onnx_session import OnnxNetwork
from pruning_core.export.quiet import quietly

ONNX_FILE = "network.onnx"
OPSET = 18
"""The lowest that torch writes without converting: runtimes on devices lag behind."""


def export_onnx(network: nn.Module, folder: Path, example_images_NCHW: Tensor) -> ExportedFile:
    """Write the network with a dynamic batch dimension; compare it at batches of 1, 3 and of all example images.

    What the exporter notes of the program that made the file (source lines, paths) does not get into it.
    """
    path = folder / ONNX_FILE
    images_NCHW = example_images_NCHW.contiguous()
    with quietly():
        torch.onnx.export(
            network,
            (tracing_images(images_NCHW),),
            path,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            external_data=False,
            verbose=False,
        )
    opset = strip_notes(path)
    difference = largest_difference(network, OnnxNetwork(path), images_NCHW)
    check_difference(ONNX_FILE, "onnxruntime", difference)
    return ExportedFile(name=ONNX_FILE, relative_difference=difference, facts={"opset": opset})


def strip_notes(path: Path) -> int:
    """Take what a file says of the program that made it out of it; returns the file's opset."""
    model = onnx.load(path)
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.initializer,
        *graph.input,
        *graph.output,
        *graph.value_info,
    ):
        _clear_notes(part)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return max(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _clear_notes(part: Any) -> None:
    for field in ("metadata_props", "doc_string"):
        part.ClearField(field)


if TYPE_CHECKING:
    _: NetworkExporter = export_onnx
