"""Small data sets that torchvision downloads: CIFAR-10 and Fashion-MNIST."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torchvision.datasets import CIFAR10, FashionMNIST

from pruning_core.config import DatasetConfig
from pruning_core.data.roots import required_root
from pruning_core.data.sources import ImageSource, read_arrays
from pruning_core.errors import InvalidDataError


class TorchvisionSet(Protocol):
    """A torchvision data set that lies in memory as a whole."""

    data: Any
    targets: Any
    classes: list[str]


class TorchvisionSetType(Protocol):
    """How torchvision's data sets are opened."""

    def __call__(self, root: str, *, train: bool, download: bool) -> TorchvisionSet:
        """Raise RuntimeError if the files are missing and are not to be downloaded."""
        ...


def read_cifar10(config: DatasetConfig) -> ImageSource:
    """Read CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in 10 classes."""
    return read_torchvision_set(CIFAR10, config)


def read_fashion_mnist(config: DatasetConfig) -> ImageSource:
    """Read Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 grey pixels in 10 classes."""
    return read_torchvision_set(FashionMNIST, config)


def read_torchvision_set(set_type: TorchvisionSetType, config: DatasetConfig) -> ImageSource:
    """Read a data set below ``config.root``, downloading it first if it is not there.

    Raises:
        InvalidDataError: It is not there and cannot be downloaded.
        InvalidSettingsError: No root is set.
    """
    arrays = fetch_arrays(
        set_type, str(required_root(config, "the folder of torchvision's files")), config.name
    )
    return read_arrays(arrays, name=config.name, image_size=config.image_size)


def fetch_arrays(set_type: TorchvisionSetType, root: str, name: str) -> dict[str, Any]:
    """Return training and test arrays and the class names.

    Raises:
        InvalidDataError: The set is not below ``root`` and cannot be downloaded.
    """
    train, test = (_open_part(set_type, root, name, train=train) for train in (True, False))
    return {
        "x_train": np.asarray(train.data),
        "y_train": np.asarray(train.targets),
        "x_test": np.asarray(test.data),
        "y_test": np.asarray(test.targets),
        "classes": np.asarray(train.classes),
    }


def _open_part(set_type: TorchvisionSetType, root: str, name: str, *, train: bool) -> TorchvisionSet:
    try:
        return set_type(root, train=train, download=False)
    except RuntimeError:  # torchvision: missing or damaged
        pass
    try:
        return set_type(root, train=train, download=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InvalidDataError(
            f"{name} must lie in {root!r} or be downloadable, but it is not there and the download failed ({reason}); "
            "connect to the internet, or copy torchvision's files there"
        ) from error
