"""What an export adds to or takes from the files of a network: an int8 version, and what is too large for a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from pruning_core.budgets import parse_budget
from pruning_core.data import DataSplits, iterate_batches, stratified_subset
from pruning_core.errors import InvalidSettingsError
from pruning_core.export import INT8_FILE, ExportedFile, OnnxNetwork, quantise_onnx
from pruning_core.training import predict_classes
from reports.formats import amount_of
from reports.model_card import Int8Card

__all__ = ["INT8", "ExportExtras", "add_extras", "parse_size"]

INT8 = "int8"
NUM_CALIBRATION_IMAGES = 512
_BATCH = 64
_CALIBRATION_SEED = 0
_RUN_ALONE = ("onnx", "pt2", INT8)
"""Files that a runtime runs as they are; weights need the network's code beside them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportExtras:
    """What was added and taken away. ``left_out``: names and sizes of files that were above ``target_bytes``."""

    int8: Int8Card | None = None
    target_bytes: int | None = None
    left_out: list[tuple[str, int]] = field(default_factory=list)


def parse_size(text: str) -> int:
    """Read the largest size of a file: ``1MB``, ``300KB``, ``50000``; K and M are thousands and millions of bytes.

    Raises:
        ValueError: It is no such number.
    """
    try:
        num_bytes = parse_budget(text.strip().removesuffix("B").removesuffix("b")).amount
    except ValueError:
        num_bytes = None
    if num_bytes is None:
        raise ValueError(f"a size must be a number of bytes such as 1MB or 300KB, but got {text!r}")
    return num_bytes


def add_extras(
    folder: Path,
    files: dict[str, ExportedFile],
    network: nn.Module,
    data: DataSplits,
    *,
    as_int8: bool,
    target_bytes: int | None,
) -> ExportExtras:
    """Add an int8 version if asked for, or if nothing else is small enough; take away what is too large.

    A target is for each file that holds the network: it is what has to fit a device. It is met once a file that runs by
    itself is small enough (ONNX, torch.export), or weights alone where nothing else was asked for.

    Args:
        folder: Where the files lie.
        files: By exporter; changed along with the folder.
        network: The network that they hold.
        data: Its data; training images calibrate the int8 version.
        as_int8: Whether to add it in any case.
        target_bytes: Largest size of a file; None: any.

    Raises:
        InvalidSettingsError: No file is small enough; says what was reached.
        UnsupportedNetworkError: The network cannot be quantised.
    """
    can_quantise = "onnx" in files
    int8 = _add_int8(folder, files, network, data) if as_int8 else None
    if target_bytes is None:
        return ExportExtras(int8=int8)
    sizes = _sizes(folder, files)
    if int8 is None and can_quantise and not _fitting(sizes, target_bytes):
        int8 = _add_int8(folder, files, network, data)
        sizes = _sizes(folder, files)
    if not _fitting(sizes, target_bytes):
        raise InvalidSettingsError(_out_of_reach(sizes, files, target_bytes))
    extras = ExportExtras(
        int8=int8 if sizes.get(INT8, 0) <= target_bytes else None, target_bytes=target_bytes
    )
    for name in [name for name, size in sizes.items() if size > target_bytes]:
        extras.left_out.append((files[name].name, sizes[name]))
        (folder / files.pop(name).name).unlink()
    return extras


def _fitting(sizes: dict[str, int], target_bytes: int) -> Sequence[str]:
    counted = [name for name in sizes if name in _RUN_ALONE] or list(sizes)
    return [name for name in counted if sizes[name] <= target_bytes]


def _sizes(folder: Path, files: dict[str, ExportedFile]) -> dict[str, int]:
    return {name: (folder / file.name).stat().st_size for name, file in files.items()}


def _out_of_reach(sizes: dict[str, int], files: dict[str, ExportedFile], target_bytes: int) -> str:
    reached = ", ".join(
        f"{files[name].name} {_shown(size)}" for name, size in sorted(sizes.items(), key=_by_size)
    )
    way_out = "choose a network with fewer params"
    if "onnx" not in sizes:
        way_out += ", or add onnx to the formats"
    return (
        f"a file that holds the network must have at most {_shown(target_bytes)}, but the smallest that runs by itself "
        f"is too large: {reached}; {way_out}"
    )


def _by_size(item: tuple[str, int]) -> int:
    return item[1]


def _shown(num_bytes: int) -> str:
    return amount_of("activation_memory", num_bytes)


def _add_int8(folder: Path, files: dict[str, ExportedFile], network: nn.Module, data: DataSplits) -> Int8Card:
    count = min(NUM_CALIBRATION_IMAGES, len(data.train))
    chosen = stratified_subset(data.train, count, _CALIBRATION_SEED)
    batches = (batch.images_NCHW for batch in iterate_batches(chosen, data.normalisation, batch_size=_BATCH))
    example = next(iterate_batches(data.validation, data.normalisation, batch_size=_BATCH)).images_NCHW
    files[INT8] = quantise_onnx(folder, batches, example)
    quantised = OnnxNetwork(folder / INT8_FILE)
    on_validation_N = predict_classes(quantised, data.validation, data.normalisation)
    on_test_N = predict_classes(quantised, data.test, data.normalisation)
    exact_N = predict_classes(network, data.test, data.normalisation)
    return Int8Card(
        calibration_images=count,
        num_correct_validation=int((on_validation_N == data.validation.labels_N).sum()),
        num_correct_test=int((on_test_N == data.test.labels_N).sum()),
        num_same_test=int((on_test_N == exact_N).sum()),
    )
