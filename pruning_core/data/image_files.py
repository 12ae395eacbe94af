"""Image files that are opened when they are needed.

Shape suffixes used in this file:
    N  images
    C  colour channels
    H, W  image height and width in pixels
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pruning_core.data.images import LabelledImages
from pruning_core.errors import InvalidDataError

_NUM_THREADS = 4  # decoding releases Python's lock
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})
_SAMPLED_BYTES = 1 << 16  # at each end of a file


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What is known of an image file without decoding it. ``size`` is (height, width)."""

    path: Path
    size: tuple[int, int]
    is_grey: bool
    digest: bytes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageFiles:
    """Images decoded on demand by a few threads.

    ``names`` stand for the files in the fingerprint; ``size`` (height, width) is what every image is resized to,
    or already has.
    """

    files: tuple[FileFacts, ...]
    names: tuple[str, ...]
    labels_N: Tensor
    size: tuple[int, int]
    is_grey: bool

    def __len__(self) -> int:
        return len(self.files)

    def read(self, indices_N: Tensor) -> Tensor:
        """Decode the files.

        Raises:
            InvalidDataError: One of them cannot be decoded.
        """
        images_NHWC = np.empty((len(indices_N), *self.size, 1 if self.is_grey else 3), dtype=np.uint8)

        def decode(row: int, position: int) -> None:
            images_NHWC[row] = decode_image(self.files[position].path, self.size, is_grey=self.is_grey)

        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for _ in pool.map(decode, range(len(indices_N)), indices_N.tolist()):
                pass
        return torch.from_numpy(images_NHWC).permute(0, 3, 1, 2)

    def content_keys(self, indices_N: Tensor) -> Iterator[bytes]:
        """Yield name, target size and a digest of length, beginning and end of each file."""
        for position in indices_N.tolist():
            yield f"{self.names[position]}|{self.size}|{self.is_grey}|".encode()
            yield self.files[position].digest


def inspect_files(paths: Sequence[Path]) -> list[FileFacts]:
    """Look at the headers and ends of files, a few at a time.

    Raises:
        InvalidDataError: A file is no image, or not one of 8 bits per channel.
    """
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        return list(pool.map(_inspect_file, paths))


def decode_image(path: Path, size: tuple[int, int], *, is_grey: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode one file to (height, width, channels), resized bilinearly without keeping the aspect ratio.

    Raises:
        InvalidDataError: The file cannot be decoded.
    """
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGBA") if opened.mode in ("P", "PA") else opened
            image = image.convert("L" if is_grey else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(*size, -1)


def _inspect_file(path: Path) -> FileFacts:
    try:
        with Image.open(path) as image:
            width, height = image.size
            mode = image.mode
        digest = _digest_ends(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    if mode not in _GREY_MODES | _COLOUR_MODES:
        raise InvalidDataError(
            f"images must have 8 bits per channel, but {str(path)!r} has mode {mode!r}; convert it first"
        )
    return FileFacts(path=path, size=(height, width), is_grey=mode in _GREY_MODES, digest=digest)


def _digest_ends(path: Path) -> bytes:
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{num_bytes}|".encode())
        digest.update(file.read(_SAMPLED_BYTES))
        if num_bytes > _SAMPLED_BYTES:
            file.seek(max(_SAMPLED_BYTES, num_bytes - _SAMPLED_BYTES))
            digest.update(file.read())
    return digest.digest()


def _unreadable(path: Path, error: Exception) -> InvalidDataError:
    reason = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)
    return InvalidDataError(
        f"every file must be a readable image, but {str(path)!r} is not ({reason}); remove it"
    )


if TYPE_CHECKING:
    _empty: Any = None
    _: LabelledImages = ImageFiles(files=(), names=(), labels_N=_empty, size=(1, 1), is_grey=True)
