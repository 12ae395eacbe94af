"""Data sets that come as arrays: .npz files, the digits, torchvision's sets, a user's function."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pruning_core.config import DatasetConfig
from pruning_core.data import Augmentation, load_data
from pruning_core.data.digits import read_digits
from pruning_core.data.sources import read_arrays, resize_images
from pruning_core.data.torchvision_sets import read_torchvision_set
from pruning_core.errors import InvalidDataError, InvalidSettingsError


def make_arrays(num_images: int = 40, num_channels: int = 3, side: int = 8) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    shape = (num_images, side, side, num_channels)
    labels = np.arange(num_images) % 4
    return {
        "x_train": generator.integers(0, 256, shape, dtype=np.uint8),
        "y_train": labels,
        "x_test": generator.integers(0, 256, shape, dtype=np.uint8),
        "y_test": labels,
    }


def load_npz(tmp_path: Path, arrays: dict[str, Any], **fields: Any) -> Any:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return load_data(DatasetConfig(name="npz", root=str(path), **fields))


def test_an_npz_file_gives_its_images_labels_and_classes(tmp_path: Path) -> None:
    arrays = make_arrays()
    splits = load_npz(tmp_path, arrays | {"classes": np.array(["a", "b", "c", "d"])})
    assert splits.class_names == ("a", "b", "c", "d")
    assert splits.input_shape == (3, 8, 8)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 40)
    test_NHWC = splits.test.read(torch.arange(40)).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(test_NHWC, arrays["x_test"])
    assert np.array_equal(splits.test.labels_N.numpy(), arrays["y_test"])


def test_arrays_without_a_channel_dimension_are_greyscale(tmp_path: Path) -> None:
    arrays = make_arrays()
    grey = {key: value[..., 0] if key.startswith("x") else value for key, value in arrays.items()}
    assert load_npz(tmp_path, grey).input_shape == (1, 8, 8)


def test_without_test_arrays_a_share_is_held_out(tmp_path: Path) -> None:
    arrays = make_arrays()
    splits = load_npz(tmp_path, {key: arrays[key] for key in ("x_train", "y_train")}, test_share=0.5)
    assert len(splits.test) == 20


def test_images_are_resized_to_the_wanted_side(tmp_path: Path) -> None:
    assert load_npz(tmp_path, make_arrays(), image_size=12).input_shape == (3, 12, 12)


def test_resizing_keeps_flat_images_and_the_mean_of_a_ramp() -> None:
    flat_NHWC = np.full((2, 4, 4, 3), 77, dtype=np.uint8)
    assert np.array_equal(resize_images(flat_NHWC, 9), np.full((2, 9, 9, 3), 77))
    ramp_NHWC = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8)[:, None], (1, 16, 16))[..., None]
    assert np.array_equal(resize_images(ramp_NHWC, 8)[0, 1:-1, 0, 0], np.arange(25, 145, 20))


def without(key: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda arrays: {name: value for name, value in arrays.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("y_train"), "'y_train' is missing; found: x_test, x_train, y_test"),
        (without("y_test"), "'y_test' is missing"),
        (lambda a: a | {"images": a["x_train"]}, "but got 'images'"),
        (lambda a: a | {"x_train": a["x_train"] / 255}, "x_train must be uint8 .* but got float64"),
        (lambda a: a | {"x_train": a["x_train"].transpose(0, 3, 1, 2)}, "1 or 3.* shape .40, 3, 8, 8."),
        (lambda a: a | {"y_train": a["y_train"] / 2}, "y_train must be whole numbers, .* but got float64"),
        (lambda a: a | {"y_train": a["y_train"][1:]}, r"one per image of x_train \(40\), .* shape \(39,\)"),
        (lambda a: a | {"x_test": a["x_test"][:, :4]}, "x_test must have the image shape of x_train"),
        (lambda a: a | {"x_test": a["x_test"][:0], "y_test": a["y_test"][:0]}, "x_test must hold images"),
        (lambda a: a | {"y_test": a["y_test"] + 1}, "labels must be between 0 and 3 .* a test image has 4"),
        (lambda a: a | {"classes": np.array(["a", "b"])}, r"between 0 and 1 \(there are 2 classes\)"),
        (lambda a: a | {"y_train": a["y_train"] * 0, "y_test": a["y_test"] * 0}, "there is only '0'"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    with pytest.raises(InvalidDataError, match=message) as caught:
        load_npz(tmp_path, change(make_arrays()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "must be an .npz file of plain arrays"),
        (b"", "must be an .npz file of plain arrays"),
        (b"PK\x03\x04 cut off", "must be an .npz file of plain arrays"),
    ],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=message):
        load_data(DatasetConfig(name="npz", root=str(path)))


def test_one_array_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(InvalidDataError, match=r"must be an \.npz file"):
        load_data(DatasetConfig(name="npz", root=str(path)))


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="plain arrays"):
        load_npz(tmp_path, make_arrays() | {"classes": np.array([{"a": 1}], dtype=object)})


def test_a_missing_root_says_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"dataset\.root must be set for npz \(an \.npz file\)"):
        load_data(DatasetConfig(name="npz"))
    with pytest.raises(InvalidDataError, match=r"must be an \.npz file, but '.*no\.npz' does not exist"):
        load_data(DatasetConfig(name="npz", root=str(tmp_path / "no.npz")))


def test_digits_are_sixteen_pixels_wide_and_split_by_quarter_and_fifth() -> None:
    splits = load_data(DatasetConfig())
    assert splits.input_shape == (1, 16, 16)
    assert splits.num_classes == 10
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1078, 360, 359)
    assert splits.augmentation is Augmentation.CROP
    assert load_data(DatasetConfig(image_size=8)).input_shape == (1, 8, 8)


def test_digits_are_those_of_scikit_learn() -> None:
    config = DatasetConfig(image_size=8)
    source = read_digits(config)
    bunch = load_digits()
    pixels_NHW = source.train.read(torch.arange(len(source.train)))[:, 0].numpy()
    assert np.array_equal(np.rint(pixels_NHW * (16 / 255)), bunch.images)
    assert np.array_equal(source.train.labels_N.numpy(), bunch.target)


def test_digits_have_no_root() -> None:
    with pytest.raises(
        InvalidSettingsError, match=r"dataset\.root must be left out for digits.* but got 'x'"
    ):
        load_data(DatasetConfig(root="x"))


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InvalidSettingsError, match="Known datasets: cifar10, digits, fashion_mnist, image_folder"
    ):
        load_data(DatasetConfig(name="mnist"))


class OfflineSet:
    """A torchvision set that is not there and whose download fails."""

    data: Any = None
    targets: Any = None
    classes: list[str]

    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        if download:
            raise OSError(f"first line about {root}\nno route to host")
        raise RuntimeError(f"Dataset not found (train={train})")


class GreySet:
    """A torchvision set in memory, as a tensor; downloaded once."""

    downloads: list[bool]
    data: Any
    targets: Any
    classes: list[str]

    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        marker = Path(root) / "downloaded"
        if download:
            marker.touch(exist_ok=False)
        if not marker.exists():
            raise RuntimeError("Dataset not found")
        self.data = torch.arange(20 * 16).to(torch.uint8).view(20, 4, 4) + (0 if train else 1)
        self.targets = [label % 2 for label in range(20)]
        self.classes = ["even", "odd"]


def test_torchvisions_sets_are_downloaded_only_if_they_are_missing(tmp_path: Path) -> None:
    config = DatasetConfig(name="fashion_mnist", root=str(tmp_path))
    source = read_torchvision_set(GreySet, config)  # downloads for the training part
    again = read_torchvision_set(GreySet, config)  # would fail if it downloaded again
    assert source.class_names == ("even", "odd")
    assert source.test is not None
    assert torch.equal(source.train.read(torch.arange(20)) + 1, source.test.read(torch.arange(20)))
    assert torch.equal(source.train.read(torch.arange(20)), again.train.read(torch.arange(20)))


def test_without_network_and_files_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidDataError, match=r"cifar10 must lie in .* download failed .no route to host.; connect"
    ) as caught:
        read_torchvision_set(OfflineSet, DatasetConfig(name="cifar10", root=str(tmp_path)))
    assert "\n" not in str(caught.value)


USER_MODULE = """
import numpy as np
import torch
from pruning_core.data import ImageTensor, assemble_splits

def arrays(root=None):
    pixels = np.arange(40 * 64, dtype=np.uint16).astype(np.uint8).reshape(40, 8, 8)
    offset = 0 if root is None else int(root)
    return {"x_train": pixels + np.uint8(offset), "y_train": np.arange(40) % 2}

def images():
    found = arrays()
    return ImageTensor(
        images_NCHW=torch.from_numpy(found["x_train"])[:, None], labels_N=torch.from_numpy(found["y_train"])
    )

def splits():
    return assemble_splits(images(), images(), images(), class_names=("a", "b"))

def one_class():
    return assemble_splits(images(), images(), images(), class_names=("a",))

def nothing():
    return None

constant = 3
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory; its name is new for each test."""
    name = re.sub(r"\W", "_", f"user_data_{tmp_path.name}")
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # restores sys.path afterwards
    return name


def test_a_users_function_may_return_arrays(user_module: str) -> None:
    splits = load_data(DatasetConfig(name=f"{user_module}:arrays", test_share=0.5))
    assert splits.input_shape == (1, 8, 8)
    assert len(splits.test) == 20


def test_a_users_function_is_given_the_root_if_it_is_set(user_module: str) -> None:
    plain, moved = (load_data(DatasetConfig(name=f"{user_module}:arrays", root=root)) for root in (None, "1"))
    assert plain.fingerprint != moved.fingerprint


def test_a_users_function_may_return_finished_splits(user_module: str) -> None:
    splits = load_data(DatasetConfig(name=f"{user_module}:splits"))
    assert splits.class_names == ("a", "b")
    assert len(splits.validation) == 40


@pytest.mark.parametrize(
    ("function", "fields", "error", "message"),
    [
        ("nothing", {}, InvalidDataError, "must return a dict .* or DataSplits, but it returned NoneType"),
        ("one_class", {}, InvalidDataError, "must return at least 2 classes, but got 1"),
        ("constant", {}, InvalidSettingsError, "has no function 'constant'"),
        ("missing", {}, InvalidSettingsError, "has no function 'missing'"),
        ("splits", {"train_images": 5}, InvalidSettingsError, "train_images must be left out .* but got 5"),
        ("splits", {"augmentation": "crop"}, InvalidSettingsError, "augmentation must be left out"),
        ("splits", {"split_seed": 1}, InvalidSettingsError, "split_seed must be left out"),
    ],
)
def test_a_users_function_that_cannot_be_used_is_refused(
    user_module: str, function: str, fields: dict[str, Any], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_data(DatasetConfig(name=f"{user_module}:{function}", **fields))


def test_a_module_that_cannot_be_found_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    with pytest.raises(InvalidSettingsError, match=r"lies in .* but module 'no_such_module' cannot be found"):
        load_data(DatasetConfig(name="no_such_module:function"))


def test_arrays_are_read_without_being_changed() -> None:
    arrays = make_arrays()
    before = {key: value.copy() for key, value in arrays.items()}
    read_arrays(arrays, name="arrays", image_size=4)
    assert all(np.array_equal(arrays[key], before[key]) for key in before)
