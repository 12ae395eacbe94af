"""A network as an MLflow model that needs torch and nothing of ours. Imports mlflow and torch, which takes seconds.

Shape suffixes used in this file:
    N, C, H, W  images, channels (classes of logits), height, width
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import torch
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from pruning_core.data import Normalisation
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.export.pixel_network import PixelNetwork

__all__ = ["save_model"]

_EXAMPLE_BATCH = 2  # a batch of 1 would be frozen into the file
_TOLERANCE = 1e-5
_FLOAT = np.dtype("float32")


def save_model(
    network: nn.Module,
    folder: Path,
    *,
    normalisation: Normalisation,
    class_names: Sequence[str],
    images_NCHW: Tensor,
    identity: Mapping[str, str],
) -> None:
    """Write a network as an exported graph that takes pixels in [0, 1] and gives logits, for any batch size.

    Args:
        network: In evaluation mode, on the CPU.
        folder: Where to; it must not exist.
        normalisation: What the network wants done to pixels; it becomes part of the graph.
        class_names: In the order of the logits; kept in the model's metadata.
        images_NCHW: uint8 images, at least two. The first two are the model's input example; all are compared.
        identity: ``run_id`` and ``model_id``, as MLflow's `Model` takes them.

    Raises:
        UnsupportedNetworkError: The file does not compute what the network computes.
    """
    pixels_NCHW = images_NCHW.float() / 255
    pixel_network = PixelNetwork(network, normalisation).eval()
    mlflow.pytorch.save_model(
        pixel_network,
        str(folder),
        mlflow_model=Model(**dict[str, Any](identity)),
        signature=ModelSignature(
            inputs=Schema([TensorSpec(_FLOAT, (-1, *images_NCHW.shape[1:]))]),
            outputs=Schema([TensorSpec(_FLOAT, (-1, len(class_names)))]),
        ),
        input_example=pixels_NCHW[:_EXAMPLE_BATCH].numpy(),
        pip_requirements=[f"{name}=={_public(version(name))}" for name in ("mlflow", "torch", "numpy")],
        metadata={"class_names": list(class_names)},
        serialization_format="pt2",
    )
    difference = max(
        _difference(network, normalisation, folder, some) for some in (images_NCHW, images_NCHW[:1])
    )
    if not difference <= _TOLERANCE:
        raise UnsupportedNetworkError(
            f"the MLflow model must compute what the network computes (relative difference up to {_TOLERANCE:g}), "
            f"but it differs by {difference:.3g}; export this network as safetensors instead"
        )


@torch.no_grad()
def _difference(network: nn.Module, normalisation: Normalisation, folder: Path, images_NCHW: Tensor) -> float:
    """Return max|model - network| / max|logit| on uint8 images."""
    model = mlflow.pytorch.load_model(str(folder))
    expected_NC = network(normalisation.apply(images_NCHW))
    scale = max(expected_NC.abs().max().item(), torch.finfo(expected_NC.dtype).tiny)
    return float((model(images_NCHW.float() / 255) - expected_NC).abs().max().item() / scale)


def _public(full_version: str) -> str:
    """Return a version without its local part, which package indexes do not know: ``2.15.0+cpu`` is ``2.15.0``."""
    return full_version.split("+")[0]
