"""Run ONNX files as if they were networks.

Shape suffixes used in this file:
    N, C, H, W  images, channels (classes of logits), height, width
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from pruning_core.export.exported_file import INPUT_NAME, OUTPUT_NAME

_ERRORS_ONLY = 3


class OnnxNetwork(nn.Module):
    """An ONNX file in onnxruntime on the CPU, called as the network it was made from; without parameters.

    Args:
        model: A file, or its content.
        num_threads: Of one forward pass.
    """

    def __init__(self, model: Path | bytes, *, num_threads: int = 1) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        content = str(model) if isinstance(model, Path) else model
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits; the images are on the CPU."""
        (logits_NC,) = self.session.run([OUTPUT_NAME], {INPUT_NAME: images_NCHW.numpy(force=True)})
        return torch.from_numpy(logits_NC)
