"""Images in one NumPy archive."""

from __future__ import annotations

import zipfile
import zlib

import numpy as np

from pruning_core.config import DatasetConfig
from pruning_core.data.roots import existing_root
from pruning_core.data.sources import ImageSource, read_arrays
from pruning_core.errors import InvalidDataError


def read_npz(config: DatasetConfig) -> ImageSource:
    """Read the .npz file at ``root``: the arrays that ``read_arrays`` takes.

    Raises:
        InvalidDataError: The file is missing or no such archive, or an array is wrong.
        InvalidSettingsError: No root is set.
    """
    path = existing_root(config, "an .npz file")
    problem = f"dataset.root must be an .npz file of plain arrays, but {str(path)!r} cannot be read as one"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidDataError(
            f"{problem} ({str(error).splitlines()[0] if str(error) else 'empty'})"
        ) from error
    except (AttributeError, TypeError) as error:  # np.load of a plain .npy gives an array, not an archive
        raise InvalidDataError(problem) from error
    return read_arrays(arrays, name=str(path), image_size=config.image_size)
