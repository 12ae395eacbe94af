"""An int8 version of an ONNX file: weights and activations in 8 bits, scales measured on calibration images.

Static, per output channel for weights, as pairs of QuantizeLinear and DequantizeLinear (QDQ) that runtimes fuse into
integer kernels. Not equal to the network: how far it is off is measured, not bounded.

References:
    [Jacob2018] B. Jacob et al. Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
        Inference. CVPR 2018.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from pruning_core.errors import UnsupportedNetworkError
from pruning_core.export.exported_file import INPUT_NAME, ExportedFile
from pruning_core.export.onnx_file import ONNX_FILE, strip_notes
from pruning_core.export.onnx_session import OnnxNetwork
from pruning_core.export.quiet import quietly

INT8_FILE = "network-int8.onnx"


def quantise_onnx(
    folder: Path, calibration_batches: Iterable[Tensor], example_images_NCHW: Tensor
) -> ExportedFile:
    """Write `INT8_FILE` beside the ONNX file of a folder.

    Args:
        folder: Holds `ONNX_FILE`; read there, and left as it is.
        calibration_batches: Normalised images whose activations set the scales (smallest and largest value).
        example_images_NCHW: Normalised images to compare the two files on.

    Returns:
        The file; its difference is max|int8 - float| / max|logit|.

    Raises:
        UnsupportedNetworkError: onnxruntime cannot quantise the file, or the result gives no finite numbers.
    """
    path = folder / INT8_FILE
    reader = _Calibration(calibration_batches)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch, quietly():
            prepared = Path(scratch) / "prepared.onnx"
            quant_pre_process(folder / ONNX_FILE, prepared)
            quantize_static(
                prepared,
                path,
                reader,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
            )
    except (RuntimeError, ValueError, AssertionError, LookupError, TypeError) as error:
        raise UnsupportedNetworkError(
            f"{ONNX_FILE} must be one that onnxruntime can quantise, but: {str(error).strip().splitlines()[0]}; export "
            "it without int8"
        ) from error
    opset = strip_notes(path)
    return ExportedFile(
        name=INT8_FILE,
        relative_difference=_difference(folder, example_images_NCHW),
        facts={"opset": opset, "calibration_images": reader.num_images},
    )


def _difference(folder: Path, images_NCHW: Tensor) -> float:
    found_NC, expected_NC = (
        OnnxNetwork(folder / name)(images_NCHW.contiguous()) for name in (INT8_FILE, ONNX_FILE)
    )
    if not torch.isfinite(found_NC).all():
        raise UnsupportedNetworkError(
            f"{INT8_FILE} must give finite logits, but does not; export it without int8"
        )
    scale = max(expected_NC.abs().max().item(), torch.finfo(expected_NC.dtype).tiny)
    return float((found_NC - expected_NC).abs().max().item() / scale)


class _Calibration(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """Hands batches to onnxruntime, and counts the images."""

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self._batches: Iterator[Tensor] = iter(batches)
        self.num_images = 0

    def get_next(self) -> dict[str, Any] | None:
        batch_NCHW = next(self._batches, None)
        if batch_NCHW is None:
            return None
        self.num_images += len(batch_NCHW)
        return {INPUT_NAME: batch_NCHW.numpy(force=True)}
