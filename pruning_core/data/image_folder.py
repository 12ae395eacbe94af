"""A folder of images: ``train/CLASS/*``, and optionally ``val/CLASS/*`` and ``test/CLASS/*``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from pruning_core.config import DatasetConfig
from pruning_core.data.image_files import FileFacts, ImageFiles, inspect_files
from pruning_core.data.images import ImageTensor, LabelledImages
from pruning_core.data.roots import existing_root
from pruning_core.data.sources import ImageSource
from pruning_core.errors import InvalidDataError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})
MAX_DECODED_BYTES = 2 * 10**9
"""Larger sets are not kept in memory; their files are decoded whenever they are read."""
_CHUNK = 1024  # files decoded at once


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """The files of ``train``, ``val`` or ``test`` in a fixed order, with the class of each."""

    files: tuple[FileFacts, ...]
    labels: tuple[int, ...]


def read_image_folder(config: DatasetConfig) -> ImageSource:
    """Read the folder at ``root``; the classes are the folders in ``train``, in alphabetical order.

    Raises:
        InvalidDataError: The folder is missing or empty, a file is unreadable, sizes differ while no
            ``image_size`` is set, or ``val`` or ``test`` has a class that ``train`` has not.
        InvalidSettingsError: No root is set.
    """
    root = existing_root(config, "a folder with train/CLASS/* in it")
    class_names = _class_folders(root / "train")
    parts = {"train": _list_part(root / "train", class_names)}
    for name in ("val", "test"):
        if (root / name).is_dir():
            parts[name] = _list_part(root / name, class_names)
    files = [facts for part in parts.values() for facts in part.files]
    size = _common_size(files, config.image_size)
    is_grey = all(facts.is_grey for facts in files)
    num_bytes = len(files) * size[0] * size[1] * (1 if is_grey else 3)
    images = {
        name: _open_part(part, root, size, is_grey=is_grey, in_memory=num_bytes < MAX_DECODED_BYTES)
        for name, part in parts.items()
    }
    return ImageSource(
        name=str(root),
        train=images["train"],
        validation=images.get("val"),
        test=images.get("test"),
        class_names=class_names,
    )


def _class_folders(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise InvalidDataError(
            f"dataset.root must hold train/CLASS/*, but there is no folder {str(folder)!r}"
        )
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise InvalidDataError(f"{str(folder)!r} must hold one folder per class, but it holds none")
    return tuple(names)


def _list_part(folder: Path, class_names: tuple[str, ...]) -> _Part:
    if unknown := sorted(set(_class_folders(folder)) - set(class_names)):
        raise InvalidDataError(
            f"every class of {str(folder)!r} must be a class of train, but {unknown[0]!r} is not"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in EXTENSIONS)
        if not found and (folder / name).is_dir():
            raise InvalidDataError(
                f"every class folder must hold images ({', '.join(sorted(EXTENSIONS))}), "
                f"but {str(folder / name)!r} holds none"
            )
        paths += found
        labels += [label] * len(found)
    return _Part(files=tuple(inspect_files(paths)), labels=tuple(labels))


def _common_size(files: list[FileFacts], image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return (image_size, image_size)
    first = files[0]
    for other in files:
        if other.size != first.size:
            raise InvalidDataError(
                f"all images must have one size, but {str(first.path)!r} has {first.size[0]}x{first.size[1]} "
                f"and {str(other.path)!r} has {other.size[0]}x{other.size[1]} (height x width); "
                "set dataset.image_size to resize them"
            )
    return first.size


def _open_part(
    part: _Part, root: Path, size: tuple[int, int], *, is_grey: bool, in_memory: bool
) -> LabelledImages:
    labels_N = torch.tensor(part.labels)
    names = tuple(facts.path.relative_to(root).as_posix() for facts in part.files)
    images = ImageFiles(files=part.files, names=names, labels_N=labels_N, size=size, is_grey=is_grey)
    if not in_memory:
        return images
    pixels_NCHW = torch.empty((len(images), 1 if is_grey else 3, *size), dtype=torch.uint8)
    for chunk_N in torch.split(torch.arange(len(images)), _CHUNK):
        pixels_NCHW[chunk_N] = images.read(chunk_N)
    return ImageTensor(images_NCHW=pixels_NCHW, labels_N=labels_N)
