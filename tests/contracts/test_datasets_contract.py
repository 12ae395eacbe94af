"""What every entry of DATASETS promises; each kind is written to disk in its smallest form first."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from pruning_core.config import DatasetConfig
from pruning_core.data import DATASETS, DataSplits, load_data

NUM_IMAGES = 40


def pixels(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(num_images: int = NUM_IMAGES) -> npt.NDArray[np.int64]:
    return np.arange(num_images, dtype=np.int64) % 4


def write_digits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:  # noqa: ARG001  # nothing to write
    return None


def write_npz(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001  # one signature for all
    images = pixels(NUM_IMAGES, 8, 8, 3)
    np.savez(folder / "set.npz", x_train=images, y_train=labels(), x_test=images[::-1], y_test=labels()[::-1])
    return str(folder / "set.npz")


def write_image_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001  # one signature for all
    for position, (image, label) in enumerate(zip(pixels(NUM_IMAGES, 8, 8, 3), labels(), strict=True)):
        (folder / "train" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "train" / str(label) / f"{position}.png")
    return str(folder)


def write_fashion_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001  # one signature for all
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    ten_labels = (np.arange(NUM_IMAGES) % 10).astype(np.uint8)
    for part, seed in (("train", 0), ("t10k", 1)):
        write_idx(raw / f"{part}-images-idx3-ubyte", pixels(NUM_IMAGES, 28, 28, seed=seed))
        write_idx(raw / f"{part}-labels-idx1-ubyte", ten_labels)
    return str(folder)


def write_idx(path: Path, values: npt.NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    path.write_bytes(header + values.tobytes())


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    base = folder / CIFAR10.base_folder
    base.mkdir()
    batch = {"data": pixels(NUM_IMAGES, 3072), "labels": (np.arange(NUM_IMAGES) % 10).tolist()}
    names = {"label_names": [f"class {label}" for label in range(10)]}
    checksums = {}
    for name, content in (("data_batch_1", batch), ("test_batch", batch), ("batches.meta", names)):
        (base / name).write_bytes(pickle.dumps(content))
        checksums[name] = hashlib.md5((base / name).read_bytes()).hexdigest()
    # torchvision knows the checksums of the published files only; these are those of the stand-in
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", checksums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", checksums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": checksums["batches.meta"]})
    return str(folder)


WRITERS: dict[str, Callable[[Path, pytest.MonkeyPatch], str | None]] = {
    "cifar10": write_cifar10,
    "digits": write_digits,
    "fashion_mnist": write_fashion_mnist,
    "image_folder": write_image_folder,
    "npz": write_npz,
}


@pytest.fixture(params=sorted(DATASETS))
def config(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    """Settings of each kind of data set, with its files written."""
    return DatasetConfig(name=request.param, root=WRITERS[request.param](tmp_path, monkeypatch))


@pytest.fixture
def splits(config: DatasetConfig) -> DataSplits:
    return load_data(config)


def test_every_kind_has_training_validation_and_test_images_of_one_shape(splits: DataSplits) -> None:
    for images in (splits.train, splits.validation, splits.test):
        assert len(images) == len(images.labels_N) > 0
        pixels_NCHW = images.read(torch.tensor([len(images) - 1, 0]))
        assert pixels_NCHW.dtype == torch.uint8
        assert pixels_NCHW.shape == (2, *splits.input_shape)


def test_labels_are_whole_numbers_below_the_number_of_classes(splits: DataSplits) -> None:
    assert splits.num_classes == len(splits.class_names) >= 2
    for images in (splits.train, splits.validation, splits.test):
        assert images.labels_N.dtype == torch.int64
        assert int(images.labels_N.min()) >= 0
        assert int(images.labels_N.max()) < splits.num_classes
    assert len(set(splits.train.labels_N.tolist())) == splits.num_classes


def test_reading_follows_the_order_asked_for(splits: DataSplits) -> None:
    indices_N = torch.tensor([2, 0, 2, 1])
    one_by_one_NCHW = torch.cat([splits.train.read(index_1) for index_1 in indices_N[:, None]])
    assert torch.equal(splits.train.read(indices_N), one_by_one_NCHW)


def test_loading_again_gives_the_same_splits(config: DatasetConfig, splits: DataSplits) -> None:
    again = load_data(config)
    assert again.fingerprint == splits.fingerprint
    assert again.normalisation == splits.normalisation
    assert torch.equal(again.train.labels_N, splits.train.labels_N)


def test_another_split_seed_gives_other_splits(config: DatasetConfig, splits: DataSplits) -> None:
    other = load_data(config.model_copy(update={"split_seed": 1}))
    assert other.fingerprint != splits.fingerprint
    assert len(other.train) == len(splits.train)


def test_subsets_have_the_size_asked_for(config: DatasetConfig) -> None:
    small = load_data(config.model_copy(update={"train_images": 30, "test_images": 8}))
    assert len(small.train) + len(small.validation) == 30
    assert len(small.test) == 8


def test_images_can_be_resized(config: DatasetConfig) -> None:
    resized = load_data(config.model_copy(update={"image_size": 12}))
    assert resized.image_size == (12, 12)
