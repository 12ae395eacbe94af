"""Labelled images, and the three splits every stage shares.

Shape suffixes used in this file:
    N  images
    C  colour channels (1 or 3)
    H, W  image height and width in pixels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from pruning_core.data.stratification import share_out, take_per_class
from pruning_core.errors import InvalidDataError


class LabelledImages(Protocol):
    """Images with one class each, addressed by position."""

    @property
    def labels_N(self) -> Tensor:  # noqa: N802  # a shape suffix
        """Class of each image, int64, on the CPU."""
        ...

    def __len__(self) -> int: ...

    def read(self, indices_N: Tensor) -> Tensor:
        """Return the pixels at some positions, in their order: uint8, NCHW, on the CPU."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, weakref_slot=True)
class ImageTensor:
    """Images that lie in memory as one uint8 tensor, which never changes."""

    images_NCHW: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return self.labels_N.shape[0]

    def read(self, indices_N: Tensor) -> Tensor:
        """Copy the images at some positions."""
        return self.images_NCHW.index_select(0, indices_N)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageSubset:
    """Some images of ``parent``, without a copy; built by ``take``."""

    parent: LabelledImages
    indices_N: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return self.labels_N.shape[0]

    def read(self, indices_N: Tensor) -> Tensor:
        """Read the parent's images at the positions that these stand for."""
        return self.parent.read(self.indices_N[indices_N])


def take(images: LabelledImages, indices_N: Tensor) -> ImageSubset:
    """Return the images at some positions; a subset of a subset refers to the original."""
    labels_N = images.labels_N[indices_N]
    if isinstance(images, ImageSubset):
        return ImageSubset(parent=images.parent, indices_N=images.indices_N[indices_N], labels_N=labels_N)
    return ImageSubset(parent=images, indices_N=indices_N, labels_N=labels_N)


def stratified_subset(images: LabelledImages, count: int, seed: int) -> LabelledImages:
    """Choose ``count`` images so that the classes keep their proportions, rounded by largest remainder.

    The chosen images keep their order. All images are returned as they are.

    Raises:
        InvalidDataError: More images are asked for than there are, or none.
    """
    if not 1 <= count <= len(images):
        raise InvalidDataError(
            f"a subset must have between 1 and all {len(images)} images, but {count} are asked for"
        )
    if count == len(images):
        return images
    class_sizes = torch.bincount(images.labels_N).tolist()
    return take(images, take_per_class(images.labels_N, share_out(count, class_sizes), seed))


class Augmentation(StrEnum):
    """Random changes of training images: nothing, a shift, or a shift and a horizontal flip."""

    NONE = "none"
    CROP = "crop"
    CROP_FLIP = "crop_flip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """Per-channel shift and scale that gives the training images mean 0 and standard deviation 1.

    ``mean`` and ``std`` are of pixel values as shares of 255; ``std`` is positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images_NCHW: Tensor) -> Tensor:
        """Turn uint8 pixels into network input: float32 in channels-last memory order."""
        shift_C11, scale_C11 = _shift_and_scale(self, images_NCHW.device)
        scaled_NCHW = torch.addcmul(shift_C11, images_NCHW.float(), scale_C11)
        return scaled_NCHW.contiguous(memory_format=torch.channels_last)

    def to_plain(self) -> dict[str, list[float]]:
        """Return what JSON can hold; ``from_plain`` reads it back."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_plain(cls, values: Mapping[str, Sequence[float]]) -> Normalisation:
        """Read what ``to_plain`` wrote."""
        return cls(mean=tuple(map(float, values["mean"])), std=tuple(map(float, values["std"])))


@lru_cache(maxsize=16)
def _shift_and_scale(normalisation: Normalisation, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what is added to and multiplied with pixels, on their device; kept, because every batch needs it."""
    std_C11 = torch.tensor(normalisation.std, device=device).view(-1, 1, 1)
    mean_C11 = torch.tensor(normalisation.mean, device=device).view(-1, 1, 1)
    return -mean_C11 / std_C11, 1 / (255 * std_C11)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DataSplits:
    """Images to train on, to choose on (validation), and to look at once for the chosen (test).

    ``image_size`` is (height, width). ``normalisation`` is computed from ``train`` and shared by every stage and
    by the exported network. ``fingerprint`` changes with any pixel, label or split.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    num_classes: int
    class_names: tuple[str, ...]
    in_channels: int
    image_size: tuple[int, int]
    normalisation: Normalisation
    augmentation: Augmentation
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return (self.in_channels, *self.image_size)


if TYPE_CHECKING:
    _empty: Any = None
    _tensor: LabelledImages = ImageTensor(images_NCHW=_empty, labels_N=_empty)
    _subset: LabelledImages = ImageSubset(parent=_tensor, indices_N=_empty, labels_N=_empty)
