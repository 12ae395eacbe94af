"""Labelled images: where they come from, how they are split, and batches of them."""

from __future__ import annotations

from collections.abc import Callable

from pruning_core.config import DatasetConfig
from pruning_core.data.batches import Batch, augment, iterate_batches
from pruning_core.data.digits import read_digits
from pruning_core.data.image_folder import read_image_folder
from pruning_core.data.images import (
    Augmentation,
    DataSplits,
    ImageSubset,
    ImageTensor,
    LabelledImages,
    Normalisation,
    stratified_subset,
    take,
)
from pruning_core.data.npz import read_npz
from pruning_core.data.sources import ImageSource
from pruning_core.data.splits import assemble_splits, split_source
from pruning_core.data.torchvision_sets import read_cifar10, read_fashion_mnist
from pruning_core.data.user_data import load_user_data
from pruning_core.errors import InvalidSettingsError
from pruning_core.user_functions import is_user_function

__all__ = [
    "DATASETS",
    "load_data",
    "DataSplits",
    "LabelledImages",
    "ImageTensor",
    "ImageSubset",
    "ImageSource",
    "Normalisation",
    "Augmentation",
    "Batch",
    "iterate_batches",
    "augment",
    "stratified_subset",
    "take",
    "assemble_splits",
    "split_source",
]

DATASETS: dict[str, Callable[[DatasetConfig], ImageSource]] = {
    "cifar10": read_cifar10,
    "digits": read_digits,
    "fashion_mnist": read_fashion_mnist,
    "image_folder": read_image_folder,
    "npz": read_npz,
}


def load_data(config: DatasetConfig) -> DataSplits:
    """Load a data set and split it; the same settings and files give the same splits everywhere.

    Raises:
        InvalidDataError: The data is missing or cannot be used as it is.
        InvalidSettingsError: The name is unknown, or a setting is missing or has no effect.
    """
    if is_user_function(config.name):
        return load_user_data(config)
    if config.name not in DATASETS:
        raise InvalidSettingsError(
            f"unknown dataset {config.name!r}. Known datasets: {', '.join(sorted(DATASETS))}, "
            "or your own as module:function."
        )
    return split_source(DATASETS[config.name](config), config)
