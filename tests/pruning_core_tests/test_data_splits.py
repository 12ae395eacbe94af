"""Splitting a data set: disjoint, stratified, seeded; settings without effect and small classes are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pruning_core.config import DatasetConfig
from pruning_core.data import Augmentation, DataSplits, ImageSource, ImageTensor, LabelledImages, split_source
from pruning_core.errors import InvalidDataError, InvalidSettingsError


def numbered(*class_sizes: int) -> ImageTensor:
    """Images whose pixels hold their position, so that they can be told apart."""
    labels_N = torch.cat([torch.full((size,), label) for label, size in enumerate(class_sizes)])
    position_N = torch.arange(len(labels_N))
    pixels_N4 = torch.stack([position_N // 256, position_N % 256, labels_N, labels_N], dim=1)
    return ImageTensor(images_NCHW=pixels_N4.to(torch.uint8).view(-1, 1, 2, 2), labels_N=labels_N)


def numbers(images: LabelledImages) -> set[int]:
    pixels_N4 = images.read(torch.arange(len(images))).flatten(1).long()
    assert torch.equal(pixels_N4[:, 2], images.labels_N)
    found = (pixels_N4[:, 0] * 256 + pixels_N4[:, 1]).tolist()
    assert len(set(found)) == len(found)
    return set(found)


def source(
    *class_sizes: int, test: ImageTensor | None = None, validation: ImageTensor | None = None
) -> ImageSource:
    names = tuple(f"class {label}" for label in range(len(class_sizes)))
    return ImageSource(
        name="numbered", train=numbered(*class_sizes), validation=validation, test=test, class_names=names
    )


def class_sizes_of(images: LabelledImages) -> list[int]:
    return [int(n) for n in torch.bincount(images.labels_N)]


def test_the_three_splits_are_disjoint_complete_and_stratified() -> None:
    splits = split_source(source(300, 200), DatasetConfig(validation_share=0.25, test_share=0.2))
    parts = [numbers(splits.train), numbers(splits.validation), numbers(splits.test)]
    assert set.union(*parts) == set(range(500))
    assert sum(map(len, parts)) == 500
    assert class_sizes_of(splits.test) == [60, 40]
    assert class_sizes_of(splits.validation) == [60, 40]
    assert class_sizes_of(splits.train) == [180, 120]


def test_the_sets_own_test_images_are_the_test_split() -> None:
    test = numbered(20, 10)
    splits = split_source(source(300, 200, test=test), DatasetConfig())
    assert splits.test is test
    assert numbers(splits.train) | numbers(splits.validation) == set(range(500))
    assert len(splits.validation) == 50  # a tenth by default


def test_the_sets_own_validation_images_are_the_validation_split() -> None:
    validation = numbered(5, 5)
    splits = split_source(source(50, 50, validation=validation, test=numbered(5, 5)), DatasetConfig())
    assert splits.validation is validation
    assert numbers(splits.train) == set(range(100))


def test_the_split_depends_on_its_seed_alone() -> None:
    def train_of(seed: int) -> set[int]:
        return numbers(split_source(source(300, 200), DatasetConfig(split_seed=seed)).train)

    assert train_of(1) == train_of(1)
    assert train_of(1) != train_of(2)


def test_train_images_are_counted_before_validation_is_held_out() -> None:
    config = DatasetConfig(train_images=100, test_images=10, validation_share=0.2)
    splits = split_source(source(300, 200, test=numbered(20, 20)), config)
    assert class_sizes_of(splits.train) == [48, 32]
    assert class_sizes_of(splits.validation) == [12, 8]
    assert class_sizes_of(splits.test) == [5, 5]


def test_the_test_images_do_not_depend_on_how_many_training_images_are_used() -> None:
    few, all_of_them = (
        split_source(source(300, 200), DatasetConfig(train_images=count)) for count in (100, None)
    )
    assert numbers(few.test) == numbers(all_of_them.test)


def test_small_classes_keep_an_image_in_each_split() -> None:
    splits = split_source(source(200, 3), DatasetConfig(validation_share=0.1, test_share=0.1))
    assert [class_sizes_of(part)[1] for part in (splits.train, splits.validation, splits.test)] == [1, 1, 1]


@pytest.mark.parametrize("seed", [-1, 2**80])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert len(split_source(source(30, 20), DatasetConfig(split_seed=seed)).train) > 0


def test_automatic_augmentation_is_the_sets_own_and_can_be_set() -> None:
    digits_like = replace(source(30, 20), augmentation=Augmentation.CROP)
    assert split_source(digits_like, DatasetConfig()).augmentation is Augmentation.CROP
    assert split_source(digits_like, DatasetConfig(augmentation="none")).augmentation is Augmentation.NONE


def test_shapes_and_classes_follow_from_the_images() -> None:
    splits: DataSplits = split_source(source(30, 20), DatasetConfig())
    assert splits.input_shape == (1, 2, 2)
    assert splits.num_classes == 2
    assert splits.class_names == ("class 0", "class 1")


def labelled(*labels: int) -> ImageTensor:
    return ImageTensor(
        images_NCHW=torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8),
        labels_N=torch.tensor(labels, dtype=torch.int64),
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (source(40), "at least 2 classes to tell apart, but there is only 'class 0'"),
        (source(40, 2), "at least 3 images to be split, but 'class 1' has 2"),
        (source(40, 1, test=numbered(1, 1)), "at least 2 images to be split, but 'class 1' has 1"),
        (replace(source(4, 4), train=labelled(0, 0, 1, 2)), "between 0 and 1 .* a training image has 2"),
        (replace(source(4, 4), train=labelled(0, 0, 1, -1)), "between 0 and 1 .* a training image has -1"),
        (replace(source(4, 4), test=labelled(0, 5)), "a test image has 5"),
        (replace(source(4, 4, 4), train=labelled(0, 0, 2, 2)), "training images, but 'class 1' has none"),
        (replace(source(4, 4), test=labelled()), "there must be test images, but there are none"),
    ],
)
def test_data_that_cannot_be_split_is_refused(bad: ImageSource, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message) as caught:
        split_source(bad, DatasetConfig())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            DatasetConfig(train_images=501),
            "dataset.train_images must be at most the 500 images .* but got 501",
        ),
        (DatasetConfig(test_images=41), "dataset.test_images must be at most the 40 images .* but got 41"),
    ],
)
def test_subsets_larger_than_the_set_are_refused(config: DatasetConfig, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        split_source(source(300, 200, test=numbered(20, 20)), config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DatasetConfig(test_share=0.3), "test_share must be left out .* test images of its own, but got 0.3"),
        (DatasetConfig(validation_share=0.3), "validation_share must be left out .* but got 0.3"),
    ],
)
def test_shares_without_effect_are_refused(config: DatasetConfig, message: str) -> None:
    whole = source(300, 200, test=numbered(20, 20), validation=numbered(20, 20))
    with pytest.raises(InvalidSettingsError, match=message):
        split_source(whole, config)
