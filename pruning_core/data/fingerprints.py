"""A short text that stands for the content of three splits, the same on every machine.

Shape suffixes used in this file:
    N  images
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pruning_core.data.images import ImageSubset, LabelledImages

_CHUNK = 1024  # images read at once


@runtime_checkable
class HasContentKeys(Protocol):
    """Images that can be told apart without reading all their pixels."""

    def content_keys(self, indices_N: Tensor) -> Iterator[bytes]:
        """Yield, for each position, bytes that change when that image changes."""
        ...


def fingerprint_splits(
    train: LabelledImages, validation: LabelledImages, test: LabelledImages, *, num_classes: int
) -> str:
    """Return 64 hexadecimal digits that change with any pixel, label, order or membership of a split."""
    digest = hashlib.sha256(f"num_classes={num_classes}".encode())
    for part, images in (("train", train), ("validation", validation), ("test", test)):
        digest.update(f"|{part}|{len(images)}|".encode())
        digest.update(images.labels_N.to(torch.int64).contiguous().numpy().tobytes())
        for content in _contents(images):
            digest.update(content)
    return digest.hexdigest()


def _contents(images: LabelledImages) -> Iterator[bytes | memoryview]:
    parent, indices_N = images, torch.arange(len(images))
    if isinstance(images, ImageSubset):
        parent, indices_N = images.parent, images.indices_N
    if isinstance(parent, HasContentKeys):
        yield from parent.content_keys(indices_N)
        return
    for chunk_N in torch.split(indices_N, _CHUNK):
        pixels_NCHW = parent.read(chunk_N).contiguous()
        yield str(tuple(pixels_NCHW.shape)).encode()
        yield pixels_NCHW.numpy().data
