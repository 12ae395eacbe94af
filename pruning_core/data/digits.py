"""The 1,797 scanned handwritten digits that scikit-learn ships: real images, no download.

8 x 8 pixels with 17 grey levels, enlarged to 16 x 16. No test images of their own.

References:
    [Alpaydin1998] E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Repository, 1998.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np

from pruning_core.config import DatasetConfig
from pruning_core.data.images import Augmentation
from pruning_core.data.sources import ImageSource, read_arrays
from pruning_core.errors import InvalidDataError, InvalidSettingsError

DEFAULT_SIDE = 16
_SIDE = 8
_HIGHEST_GREY = 16


def read_digits(config: DatasetConfig) -> ImageSource:
    """Read the digits; a quarter is held out for validation, and digits are never mirrored.

    Raises:
        InvalidDataError: scikit-learn, or the file in it, is not installed.
        InvalidSettingsError: A root is set.
    """
    if config.root is not None:
        raise InvalidSettingsError(
            f"dataset.root must be left out for digits, which come with scikit-learn, but got {config.root!r}"
        )
    table = np.loadtxt(_digits_file(), delimiter=",", dtype=np.int64)  # one row per image, its label last
    images_NHW = np.rint(table[:, :-1] * (255 / _HIGHEST_GREY)).astype(np.uint8).reshape(-1, _SIDE, _SIDE)
    arrays = {"x_train": images_NHW, "y_train": table[:, -1]}
    source = read_arrays(arrays, name="digits", image_size=config.image_size or DEFAULT_SIDE)
    return replace(source, validation_share=0.25, augmentation=Augmentation.CROP)


def _digits_file() -> Path:
    """Find the file without importing scikit-learn, which takes seconds in every process."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise InvalidDataError("scikit-learn must be installed for the digits data set, but is not")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise InvalidDataError(
            f"scikit-learn must hold the digits in {str(path)!r}, but has no such file; install another version"
        )
    return path
