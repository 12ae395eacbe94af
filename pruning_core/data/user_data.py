"""Data from a user's own ``module:function``."""

from __future__ import annotations

from pruning_core.config import DatasetConfig
from pruning_core.data.images import DataSplits
from pruning_core.data.sources import read_arrays
from pruning_core.data.splits import split_source
from pruning_core.errors import InvalidDataError, InvalidSettingsError
from pruning_core.user_functions import load_user_function

_MAY_BE_SET = {"name", "root"}


def load_user_data(config: DatasetConfig) -> DataSplits:
    """Call the function, with ``root=`` if a root is set.

    It returns either the arrays of an .npz data set as a dict, which are split as the settings say, or finished
    ``DataSplits`` (see ``assemble_splits``), which are taken as they are.

    Raises:
        InvalidDataError: It returns something else, or data that cannot be used.
        InvalidSettingsError: There is no such function, or a setting has no effect on finished splits.
    """
    function = load_user_function(config.name)
    returned = function() if config.root is None else function(root=config.root)
    if isinstance(returned, DataSplits):
        _refuse_idle_settings(config)
        _check_splits(returned, config.name)
        return returned
    if isinstance(returned, dict):
        return split_source(read_arrays(returned, name=config.name, image_size=config.image_size), config)
    raise InvalidDataError(
        f"{config.name!r} must return a dict with x_train, y_train, x_test and y_test, or DataSplits, "
        f"but it returned {type(returned).__name__}"
    )


def _refuse_idle_settings(config: DatasetConfig) -> None:
    for field, info in DatasetConfig.model_fields.items():
        value = getattr(config, field)
        if field not in _MAY_BE_SET and value != info.default:
            raise InvalidSettingsError(
                f"dataset.{field} must be left out for {config.name!r}, which splits its data itself, "
                f"but got {value!r}"
            )


def _check_splits(splits: DataSplits, name: str) -> None:
    if not splits.fingerprint:
        raise InvalidDataError(
            f"{name!r} must return splits with a fingerprint, but it is empty; build them with assemble_splits"
        )
    if splits.num_classes < 2:
        raise InvalidDataError(f"{name!r} must return at least 2 classes, but got {splits.num_classes}")
    for part in ("train", "validation", "test"):
        labels_N = getattr(splits, part).labels_N
        if labels_N.numel() == 0:
            raise InvalidDataError(f"{name!r} must return {part} images, but there are none")
        if int(labels_N.min()) < 0 or int(labels_N.max()) >= splits.num_classes:
            raise InvalidDataError(
                f"{name!r}: {part} labels must be between 0 and {splits.num_classes - 1}, but they go from "
                f"{int(labels_N.min())} to {int(labels_N.max())}"
            )
