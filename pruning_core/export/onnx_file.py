"""One self-contained ONNX file for any batch size, checked in onnxruntime.

Shape suffixes used in this file:
    N, C, H, W  images, channels (classes of logits), height, width
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime
import torch
from torch import Tensor, nn

from pruning_core.errors import UnsupportedNetworkError
from pruning_core.export.exported_file import ExportedFile, NetworkExporter

ONNX_FILE = "network.onnx"
TOLERANCE = 1e-5
INPUT_NAME, OUTPUT_NAME = "images", "logits"
_EXAMPLE_BATCH = 2  # a batch of 1 would be frozen into the file
_CHECKED_BATCHES = (1, 3)
_CHATTY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def export_onnx(network: nn.Module, folder: Path, example_images_NCHW: Tensor) -> ExportedFile:
    """Write the network with a dynamic batch dimension; compare it at batches of 1, 3 and of all example images."""
    path = folder / ONNX_FILE
    images_NCHW = example_images_NCHW.contiguous()
    with _silence():
        torch.onnx.export(
            network,
            (_repeat_to(images_NCHW, _EXAMPLE_BATCH),),
            path,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            external_data=False,
            verbose=False,
        )
    difference = max(
        _difference(network, path, _repeat_to(images_NCHW, size))
        for size in (*_CHECKED_BATCHES, len(images_NCHW))
    )
    if not difference <= TOLERANCE:
        raise UnsupportedNetworkError(
            f"{ONNX_FILE} must compute what the network computes (relative difference up to {TOLERANCE:g}), but "
            f"onnxruntime differs by {difference:.3g}; export this network as safetensors only"
        )
    return ExportedFile(name=ONNX_FILE, relative_difference=difference)


@torch.no_grad()
def _difference(network: nn.Module, path: Path, images_NCHW: Tensor) -> float:
    """Return max|onnxruntime - torch| / max|logit|."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found_NC = torch.from_numpy(session.run([OUTPUT_NAME], {INPUT_NAME: images_NCHW.numpy()})[0])
    expected_NC = network(images_NCHW)
    scale = max(expected_NC.abs().max().item(), torch.finfo(expected_NC.dtype).tiny)
    return float((found_NC - expected_NC).abs().max().item() / scale)


def _repeat_to(images_NCHW: Tensor, size: int) -> Tensor:
    """Return ``size`` images, beginning again where there are fewer."""
    return images_NCHW[torch.arange(size) % len(images_NCHW)]


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter from talking; errors still come through as exceptions."""
    loggers = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


if TYPE_CHECKING:
    _: NetworkExporter = export_onnx
