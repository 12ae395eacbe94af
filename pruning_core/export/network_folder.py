"""Export a slim network into one folder, all or nothing, and build it again from there."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pruning_core.architectures import build_network, load_tensors
from pruning_core.channels import apply_layout
from pruning_core.channels.layout import Layout
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidCheckpointError, InvalidSettingsError, StorageError
from pruning_core.export.exported_file import NetworkExporter
from pruning_core.export.network_description import (
    NetworkDescription,
    describe_network,
    read_description,
    write_description,
)
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.safetensors_file import WEIGHTS_FILE, export_safetensors

EXPORTERS: dict[str, NetworkExporter] = {"safetensors": export_safetensors, "onnx": export_onnx}
CHECKSUMS_FILE = "checksums.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """What an export wrote.

    ``num_bytes``: size of each file. ``relative_differences``: by exporter, max|file - network| / max|logit|.
    ``checksums``: SHA-256 of each file but ``checksums.json`` itself.
    """

    folder: Path
    num_bytes: dict[str, int]
    relative_differences: dict[str, float]
    checksums: dict[str, str]


def export_network(  # noqa: PLR0913 # one argument per part of network.json
    network: nn.Module,
    folder: Path,
    *,
    architecture: Mapping[str, Any],
    layout: Layout,
    input_shape: tuple[int, int, int],
    class_names: Sequence[str],
    normalisation: Mapping[str, Any],
    facts: Mapping[str, Any],
    example_images: Tensor,
    overwrite: bool = False,
) -> ExportReport:
    """Write a network in every format of ``EXPORTERS``, with ``network.json`` and checksums.

    The folder appears when all of it is written and checked, or not at all.

    Args:
        network: The slim network; not changed.
        folder: Where to; its parents are made.
        architecture: Settings of the dense architecture, as plain data.
        layout: What ``slim_layout`` gave for the network; empty for a dense one.
        input_shape: (channels, height, width) of one image.
        class_names: In the order of the logits.
        normalisation: ``mean`` and ``std`` per channel.
        facts: What is worth knowing of the network, as plain data.
        example_images: Normalised images to check the files on.
        overwrite: Replace an existing folder.

    Raises:
        InvalidSettingsError: The folder exists, and ``overwrite`` is not set.
        UnsupportedNetworkError: A file does not compute what the network computes.
        StorageError: The disk is full or not writable.
    """
    if folder.exists() and not overwrite:
        raise InvalidSettingsError(
            f"the export folder must be new, but {folder} exists; choose another or allow overwriting"
        )
    description = describe_network(
        architecture=architecture,
        layout=layout,
        input_shape=input_shape,
        class_names=tuple(class_names),
        normalisation=normalisation,
        facts=facts,
    )
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        differences = _write_files(network, partial, description, example_images)
        checksums = _write_checksums(partial)
        _move_into_place(partial, folder)
    except OSError as error:
        raise StorageError(
            f"the export must be written to {folder}, but: {error}; free or change the disk"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ExportReport(
        folder=folder,
        num_bytes={path.name: path.stat().st_size for path in sorted(folder.iterdir())},
        relative_differences=differences,
        checksums=checksums,
    )


def rebuild_network(folder: Path) -> nn.Module:
    """Build an exported network again, in evaluation mode on the CPU, from plain data alone.

    Raises:
        InvalidCheckpointError: A file is missing or damaged, or does not belong to the others.
    """
    description = read_description(folder)
    check_checksums(folder)
    config = ArchitectureConfig.model_validate(
        {**description.architecture, "weights": None, "checkpoint": None}
    )
    dense = build_network(config, num_classes=description.num_classes, in_channels=description.in_channels)
    network = apply_layout(dense, cast("Layout", description.layout))
    try:
        state = load_file(folder / WEIGHTS_FILE)
        formats = {values.dtype for values in state.values() if values.is_floating_point()}
        if len(formats) == 1:
            network.to(formats.pop())
        load_tensors(network, state)
    except (SafetensorError, RuntimeError) as error:
        raise InvalidCheckpointError(
            f"{folder / WEIGHTS_FILE} must fit the network that network.json describes, but: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return network.eval()


def check_checksums(folder: Path) -> None:
    """Compare every file with the sum that was written with it.

    Raises:
        InvalidCheckpointError: A file is missing or was changed.
    """
    try:
        expected = json.loads((folder / CHECKSUMS_FILE).read_text(encoding="utf-8"))
        changed = [name for name, digest in expected.items() if _sha256(folder / name) != digest]
    except (OSError, json.JSONDecodeError) as error:
        raise InvalidCheckpointError(
            f"the export in {folder} must be complete, but: {error}; copy it again"
        ) from error
    if changed:
        raise InvalidCheckpointError(
            f"the export in {folder} must be as it was written, but {changed[0]} was changed; copy it again"
        )


def _write_files(
    network: nn.Module, folder: Path, description: NetworkDescription, example_images: Tensor
) -> dict[str, float]:
    duplicate = copy.deepcopy(network).cpu().eval()
    images = example_images.detach().cpu()
    write_description(description, folder)
    return {
        name: exporter(duplicate, folder, images).relative_difference for name, exporter in EXPORTERS.items()
    }


def _write_checksums(folder: Path) -> dict[str, str]:
    checksums = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    (folder / CHECKSUMS_FILE).write_text(json.dumps(checksums, indent=1) + "\n", encoding="utf-8")
    return checksums


def _move_into_place(partial: Path, folder: Path) -> None:
    if folder.exists():
        old = partial.with_suffix(".old")
        folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old)
    else:
        partial.rename(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
