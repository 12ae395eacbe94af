"""What a data set offers before it is split, and how arrays become one.

Shape suffixes used in this file:
    N  images
    H, W  image height and width in pixels
    C  colour channels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from pruning_core.data.images import Augmentation, ImageTensor, LabelledImages
from pruning_core.errors import InvalidDataError


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSource:
    """A data set as it comes: the parts it is given in, and what it is split by if nothing else is set."""

    name: str
    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None
    class_names: tuple[str, ...]
    validation_share: float = 0.1
    augmentation: Augmentation = Augmentation.CROP_FLIP


def read_arrays(arrays: dict[str, Any], *, name: str, image_size: int | None) -> ImageSource:
    """Build a source from ``x_train``, ``y_train`` and, optionally, ``x_test`` with ``y_test``, and ``classes``.

    Images are uint8, NHWC with 1 or 3 channels, or NHW (greyscale); labels are whole numbers from 0. With
    ``image_size`` they are resized to that side.

    Raises:
        InvalidDataError: A key is missing or unknown, or an array has the wrong type or shape.
    """
    known = {"x_train", "y_train", "x_test", "y_test", "classes"}
    required = {"x_train", "y_train"}
    if arrays.keys() & {"x_test", "y_test"}:
        required |= {"x_test", "y_test"}
    if missing := sorted(required - arrays.keys()):
        raise InvalidDataError(
            f"{name}: the keys must be x_train, y_train, x_test, y_test and optionally classes, but {missing[0]!r} "
            f"is missing; found: {', '.join(sorted(arrays)) or 'nothing'}"
        )
    if unknown := sorted(arrays.keys() - known):
        raise InvalidDataError(
            f"{name}: the keys must be x_train, y_train, x_test, y_test and optionally classes, "
            f"but got {unknown[0]!r}"
        )
    train = _read_part(arrays, "train", name=name, image_size=image_size)
    test = _read_part(arrays, "test", name=name, image_size=image_size) if "x_test" in arrays else None
    if test is not None and test.images_NCHW.shape[1:] != train.images_NCHW.shape[1:]:
        raise InvalidDataError(
            f"{name}: x_test must have the image shape of x_train, but got {_shown(arrays['x_test'])} "
            f"beside {_shown(arrays['x_train'])}"
        )
    return ImageSource(name=name, train=train, test=test, class_names=_class_names(arrays, train))


def resize_images(images_NHWC: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Resize to ``side`` x ``side`` pixels: bilinear, in whole numbers, so the same on every machine."""
    if images_NHWC.shape[1:3] == (side, side):
        return images_NHWC
    num_images, _, _, num_channels = images_NHWC.shape
    resized_NHWC = np.empty((num_images, side, side, num_channels), dtype=np.uint8)
    squeezed = images_NHWC[..., 0] if num_channels == 1 else images_NHWC
    for position, image in enumerate(squeezed):
        resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        resized_NHWC[position] = np.asarray(resized).reshape(side, side, num_channels)
    return resized_NHWC


def _read_part(arrays: dict[str, Any], part: str, *, name: str, image_size: int | None) -> ImageTensor:
    images, labels = np.asarray(arrays[f"x_{part}"]), np.asarray(arrays[f"y_{part}"])
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[3] not in (1, 3))
    ):
        raise InvalidDataError(
            f"{name}: x_{part} must be uint8 of shape (images, height, width) or (images, height, width, 1 or 3), "
            f"but got {_shown(images)}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise InvalidDataError(
            f"{name}: y_{part} must be whole numbers, one per image of x_{part} ({len(images)}), "
            f"but got {_shown(labels)}"
        )
    if 0 in images.shape:
        raise InvalidDataError(f"{name}: x_{part} must hold images, but got {_shown(images)}")
    images_NHWC = images if images.ndim == 4 else images[..., None]
    if image_size is not None:
        images_NHWC = resize_images(images_NHWC, image_size)
    images_NCHW = torch.from_numpy(np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2)))
    return ImageTensor(images_NCHW=images_NCHW, labels_N=torch.from_numpy(labels.astype(np.int64)))


def _class_names(arrays: dict[str, Any], train: ImageTensor) -> tuple[str, ...]:
    names: Sequence[object] | None = arrays.get("classes")
    if names is not None:
        return tuple(str(name) for name in names)
    return tuple(str(label) for label in range(int(train.labels_N.max()) + 1))


def _shown(array: object) -> str:
    values = np.asarray(array)
    return f"{values.dtype} of shape {values.shape}"
