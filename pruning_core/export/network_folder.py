"""Export a slim network into one folder, all or nothing, and build it again from there."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pruning_core.architectures import build_network, load_tensors
from pruning_core.channels import apply_layout
from pruning_core.channels.layout import Layout
from pruning_core.config import ArchitectureConfig
from pruning_core.data import Normalisation
from pruning_core.errors import InvalidCheckpointError, InvalidSettingsError, StorageError
from pruning_core.export.batch_norm_folding import FoldedLayers, take_folded_form
from pruning_core.export.exported_file import EXAMPLE_BATCH, ExportedFile, NetworkExporter
from pruning_core.export.network_description import NetworkDescription, read_description, write_description
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.preprocessing import describe_preprocessing, write_preprocessing
from pruning_core.export.pt2_file import export_pt2
from pruning_core.export.safetensors_file import WEIGHTS_FILE, export_safetensors

EXPORTERS: dict[str, NetworkExporter] = {
    "onnx": export_onnx,
    "pt2": export_pt2,
    "safetensors": export_safetensors,
}
CHECKSUMS_FILE = "checksums.json"
EXAMPLE_FILE = "example.npz"
_EXAMPLE_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkOrigin:
    """What a network was made from, and what it is for.

    ``architecture``: settings of the dense architecture, as plain data. ``layout``: what ``slim_layout`` gave for the
    network; empty for a dense one. ``folded``: what ``fold_batch_norm`` did to it. ``input_shape``: (channels, height,
    width) of one image. ``class_names``: in the order of the logits. ``normalisation``: ``mean`` and ``std`` per
    channel. ``facts``: what is worth knowing of the network, as plain data.
    """

    architecture: Mapping[str, Any]
    layout: Layout
    folded: FoldedLayers = field(default_factory=dict)
    input_shape: tuple[int, int, int]
    class_names: Sequence[str]
    normalisation: Mapping[str, Any]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """What an export wrote.

    ``num_bytes``: size of each file. ``files``: by exporter. ``checksums``: SHA-256 of each file but
    ``checksums.json`` itself.
    """

    folder: Path
    num_bytes: dict[str, int]
    files: dict[str, ExportedFile]
    checksums: dict[str, str]


def add_nothing(_folder: Path, _files: Mapping[str, ExportedFile]) -> Mapping[str, Any]:
    """Leave an export as it is."""
    return {}


def export_network(
    network: nn.Module,
    folder: Path,
    origin: NetworkOrigin,
    *,
    example_images: Tensor,
    formats: Sequence[str] = tuple(EXPORTERS),
    overwrite: bool = False,
    complete: Callable[[Path, dict[str, ExportedFile]], Mapping[str, Any]] = add_nothing,
) -> ExportReport:
    """Write a network in several formats, with what rebuilds and feeds it, an example and checksums.

    The folder appears when all of it is written and checked, or not at all. The example (``example.npz``) holds
    random ``pixels`` (uint8, NCHW) and the ``logits`` that the network gives for them, so that a file can be
    checked where it will run, without images of the data set.

    Args:
        network: The slim network; not changed.
        folder: Where to; its parents are made.
        origin: What it was made from.
        example_images: Normalised images to check the files on; none gets into the folder.
        formats: Keys of ``EXPORTERS``.
        overwrite: Replace an existing folder.
        complete: Called with the unfinished folder and the files by exporter, to add what else belongs into it, or to
            take files away (from both); returns further facts.

    Raises:
        InvalidSettingsError: The folder exists, and ``overwrite`` is not set, or a format is unknown.
        UnsupportedNetworkError: A file does not compute what the network computes.
        StorageError: The disk is full or not writable.
    """
    check_formats(formats)
    check_target(folder, overwrite=overwrite)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        files = _write_files(network, partial, origin, example_images, formats)
        facts = complete(partial, files)
        write_description(_describe(origin, facts), partial)
        checksums = _write_checksums(partial)
        _move_into_place(partial, folder)
    except OSError as error:
        raise StorageError(
            f"the export must be written to {folder}, but: {error.strerror or error}; free or change the disk"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ExportReport(
        folder=folder,
        num_bytes={path.name: path.stat().st_size for path in sorted(folder.iterdir())},
        files=files,
        checksums=checksums,
    )


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that there are not.

    Raises:
        InvalidSettingsError: One is unknown, or none is asked for.
    """
    unknown = [name for name in formats if name not in EXPORTERS]
    if unknown or not formats:
        raise InvalidSettingsError(
            f"formats of an export must be some of {', '.join(EXPORTERS)}, but got "
            f"{unknown[0] if unknown else 'none'!r}"
        )


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write over what is there, unless it is an earlier export that may be replaced, or empty.

    Raises:
        InvalidSettingsError: It is there and must stay.
    """
    if not (folder.exists() or folder.is_symlink()):
        return
    if not overwrite:
        raise InvalidSettingsError(
            f"the export folder must be new, but {folder} exists; choose another or allow overwriting"
        )
    is_export = folder.is_dir() and not folder.is_symlink() and (folder / CHECKSUMS_FILE).is_file()
    if not is_export and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        raise InvalidSettingsError(
            f"what an export overwrites must be an earlier export, but {folder} is not; choose another folder"
        )


def rebuild_network(folder: Path) -> nn.Module:
    """Build an exported network again, in evaluation mode on the CPU, from plain data alone.

    Raises:
        InvalidCheckpointError: A file is missing or damaged, or does not belong to the others.
    """
    description = read_description(folder)
    check_checksums(folder)
    if not (folder / WEIGHTS_FILE).exists():
        raise InvalidCheckpointError(
            f"an export must have {WEIGHTS_FILE} to be rebuilt, but {folder} was exported without; export it with "
            "the format safetensors, or load another of its files"
        )
    config = ArchitectureConfig.model_validate(
        {**description.architecture, "weights": None, "checkpoint": None}
    )
    dense = build_network(config, num_classes=description.num_classes, in_channels=description.in_channels)
    network = take_folded_form(apply_layout(dense, cast("Layout", description.layout)), description.folded)
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
    network: nn.Module, folder: Path, origin: NetworkOrigin, example_images: Tensor, formats: Sequence[str]
) -> dict[str, ExportedFile]:
    duplicate = copy.deepcopy(network).cpu().eval()
    images = example_images.detach().cpu()
    preprocessing = describe_preprocessing(origin.input_shape, origin.normalisation, origin.class_names)
    write_preprocessing(preprocessing, folder)
    _write_example(duplicate, origin, folder)
    return {name: EXPORTERS[name](duplicate, folder, images) for name in formats}


def _describe(origin: NetworkOrigin, further_facts: Mapping[str, Any]) -> NetworkDescription:
    return NetworkDescription(
        architecture=dict(origin.architecture),
        in_channels=origin.input_shape[0],
        num_classes=len(origin.class_names),
        layout={layer: dict(entry) for layer, entry in origin.layout.items()},
        folded=dict(origin.folded),
        facts={**origin.facts, **further_facts},
    )


@torch.no_grad()
def _write_example(network: nn.Module, origin: NetworkOrigin, folder: Path) -> None:
    generator = torch.Generator().manual_seed(_EXAMPLE_SEED)
    pixels_NCHW = torch.randint(
        0, 256, (EXAMPLE_BATCH, *origin.input_shape), dtype=torch.uint8, generator=generator
    )
    images_NCHW = Normalisation.from_plain(origin.normalisation).apply(pixels_NCHW)
    first = next(network.parameters(), images_NCHW)
    logits_NC = network(images_NCHW.to(first.dtype))
    np.savez_compressed(folder / EXAMPLE_FILE, pixels=pixels_NCHW.numpy(), logits=logits_NC.numpy())


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
