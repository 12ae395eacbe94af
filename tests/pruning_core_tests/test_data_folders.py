"""Image folders: in memory or streamed, mixed colours, and everything a folder can have wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pruning_core.config import DatasetConfig
from pruning_core.data import DataSplits, ImageSubset, ImageTensor, image_folder, load_data
from pruning_core.data.image_files import ImageFiles
from pruning_core.errors import InvalidDataError


def write_image(path: Path, *, seed: int, size: tuple[int, int] = (8, 10), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def write_folder(root: Path, *parts: str, mode: str = "RGB", per_class: int = 6) -> Path:
    for part_number, part in enumerate(parts):
        for label, name in enumerate(("cat", "dog")):
            for number in range(per_class):
                seed = 1000 * part_number + 100 * label + number
                write_image(root / part / name / f"{number}.png", seed=seed, mode=mode)
    return root


def load(root: Path, **fields: Any) -> DataSplits:
    return load_data(DatasetConfig(name="image_folder", root=str(root), **fields))


def parent_of(images: Any) -> Any:
    return images.parent if isinstance(images, ImageSubset) else images


def test_folders_are_classes_and_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "train", "val", "test")
    splits = load(root)
    assert splits.class_names == ("cat", "dog")
    assert splits.input_shape == (3, 8, 10)
    assert splits.validation.labels_N.tolist() == [0] * 6 + [1] * 6
    expected_HWC = np.asarray(Image.open(root / "val" / "dog" / "0.png"))
    assert np.array_equal(splits.validation.read(torch.tensor([6]))[0].permute(1, 2, 0).numpy(), expected_HWC)


def test_without_val_and_test_folders_shares_are_held_out(tmp_path: Path) -> None:
    splits = load(write_folder(tmp_path, "train"), test_share=0.34, validation_share=0.25)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (6, 2, 4)


def test_streamed_and_in_memory_folders_agree_in_pixels_and_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path, "train", "test")
    in_memory = load(root, image_size=6)
    monkeypatch.setattr(image_folder, "MAX_DECODED_BYTES", 100)
    streamed = load(root, image_size=6)
    assert isinstance(parent_of(in_memory.train), ImageTensor)
    assert isinstance(parent_of(streamed.train), ImageFiles)
    assert streamed.normalisation == in_memory.normalisation
    for part in ("train", "validation", "test"):
        indices_N = torch.arange(len(getattr(in_memory, part))).flip(0)
        assert torch.equal(getattr(streamed, part).read(indices_N), getattr(in_memory, part).read(indices_N))
        assert torch.equal(getattr(streamed, part).labels_N, getattr(in_memory, part).labels_N)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_fingerprint_follows_content_names_and_size_but_not_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_streamed: bool
) -> None:
    monkeypatch.setattr(image_folder, "MAX_DECODED_BYTES", 100 if is_streamed else 10**9)
    first, copy = (write_folder(tmp_path / place, "train", "test") for place in ("a", "b"))
    original = load(first).fingerprint
    assert load(copy).fingerprint == original
    assert load(copy, image_size=6).fingerprint != original
    assert load(copy, split_seed=1).fingerprint != original
    write_image(copy / "train" / "dog" / "3.png", seed=999)
    assert load(copy).fingerprint != original


@pytest.mark.parametrize(
    ("modes", "num_channels"), [(("L", "L"), 1), (("L", "RGB"), 3), (("RGB", "RGBA"), 3), (("P", "1"), 3)]
)
def test_a_set_is_greyscale_only_if_all_its_images_are(
    tmp_path: Path, modes: tuple[str, str], num_channels: int
) -> None:
    for name, mode in zip(("cat", "dog"), modes, strict=True):
        for number in range(4):
            write_image(tmp_path / "train" / name / f"{number}.png", seed=number, mode=mode)
    assert load(tmp_path).in_channels == num_channels


def test_other_files_and_hidden_folders_are_left_aside(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "train")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / ".cache").mkdir()
    splits = load(root)
    assert splits.num_classes == 2
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 12


def spoil_root(root: Path) -> None:
    (root / "train").rename(root / "training")


def spoil_classes(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / "train" / name).rename(root / name)


def spoil_class(root: Path) -> None:
    (root / "train" / "eel").mkdir()


def spoil_size(root: Path) -> None:
    write_image(root / "train" / "dog" / "3.png", seed=0, size=(9, 10))


def spoil_header(root: Path) -> None:
    (root / "train" / "dog" / "3.png").write_bytes(b"not an image")


def spoil_body(root: Path) -> None:
    path = root / "train" / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:150])


def spoil_depth(root: Path) -> None:
    Image.fromarray(np.zeros((8, 10), dtype=np.uint16)).save(root / "train" / "dog" / "3.png")


def spoil_test_classes(root: Path) -> None:
    write_image(root / "test" / "eel" / "0.png", seed=0)


def leave_one_class(root: Path) -> None:
    (root / "train" / "dog").rename(root / "dog")


def leave_two_dogs(root: Path) -> None:
    for number in range(4):
        (root / "train" / "dog" / f"{number}.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_root, "must hold train/CLASS/., but there is no folder '.*train'"),
        (spoil_classes, "must hold one folder per class, but it holds none"),
        (spoil_class, r"every class folder must hold images \(\.bmp.*'.*eel' holds none"),
        (spoil_size, r"'.*0.png' has 8x10 and '.*3.png' has 9x10 .* set dataset\.image_size to resize"),
        (spoil_header, r"must be a readable image, but '.*3.png' is not \(it is no image\); remove it"),
        (spoil_body, "must be a readable image, but '.*3.png' is not"),
        (spoil_depth, "must have 8 bits per channel, but '.*3.png' has mode 'I;16'"),
        (spoil_test_classes, "must be a class of train, but 'eel' is not"),
        (leave_one_class, "at least 2 classes to tell apart, but there is only 'cat'"),
        (leave_two_dogs, "at least 3 images to be split, but 'dog' has 2"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_one_line(
    tmp_path: Path, spoil: Any, message: str
) -> None:
    root = write_folder(tmp_path, "train")
    spoil(root)
    with pytest.raises(InvalidDataError, match=message) as caught:
        load(root)
    assert "\n" not in str(caught.value)


def test_images_of_different_sizes_can_be_resized(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "train")
    spoil_size(root)
    assert load(root, image_size=16).input_shape == (3, 16, 16)


def test_a_root_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidDataError, match=r"must be a folder with train/CLASS/\* in it, .* does not exist"
    ):
        load(tmp_path / "nowhere")
