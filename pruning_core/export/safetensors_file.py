"""Weights as safetensors: plain tensors, no code, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pruning_core.errors import UnsupportedNetworkError
from pruning_core.export.exported_file import ExportedFile, NetworkExporter

WEIGHTS_FILE = "weights.safetensors"


def export_safetensors(network: nn.Module, folder: Path, example_images_NCHW: Tensor) -> ExportedFile:  # noqa: ARG001 # reading back needs no images
    """Write the state dict and read it back."""
    state = {
        name: values.detach().cpu().contiguous().clone() for name, values in network.state_dict().items()
    }
    (folder / WEIGHTS_FILE).write_bytes(save(state))  # save_file makes a file that nobody else may read
    loaded = load_file(folder / WEIGHTS_FILE)
    for name, values in state.items():
        if not torch.equal(loaded[name].nan_to_num(), values.nan_to_num()):
            raise UnsupportedNetworkError(
                f"weights read back from {WEIGHTS_FILE} must equal the network's, but {name!r} differs"
            )
    return ExportedFile(name=WEIGHTS_FILE, relative_difference=0.0)


if TYPE_CHECKING:
    _: NetworkExporter = export_safetensors
