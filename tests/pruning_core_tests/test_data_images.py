"""Stratification, subsets, normalisation, fingerprints: pure parts of the data package."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pruning_core.data import (
    DataSplits,
    ImageTensor,
    LabelledImages,
    Normalisation,
    assemble_splits,
    stratified_subset,
    take,
)
from pruning_core.data import image_statistics as statistics
from pruning_core.data.fingerprints import fingerprint_splits
from pruning_core.data.image_statistics import measure_normalisation
from pruning_core.data.stratification import share_out, take_per_class
from pruning_core.errors import InvalidDataError
from tests.synthetic import make_images


def labels(*class_sizes: int) -> Tensor:
    return torch.cat([torch.full((size,), label) for label, size in enumerate(class_sizes)])


@pytest.mark.parametrize(
    ("count", "class_sizes", "quotas"),
    [
        (5, [5, 5], [3, 2]),
        (10, [70, 20, 10], [7, 2, 1]),
        (3, [10, 10, 1], [2, 1, 0]),
        (0, [4, 4], [0, 0]),
        (8, [4, 4], [4, 4]),
        (4, [5, 3, 3], [2, 1, 1]),
    ],
)
def test_share_out_follows_the_largest_remainder(
    count: int, class_sizes: list[int], quotas: list[int]
) -> None:
    assert share_out(count, class_sizes) == quotas


@pytest.mark.parametrize("count", range(0, 24))
def test_share_out_adds_up_and_never_asks_for_more_than_there_is(count: int) -> None:
    class_sizes = [1, 2, 7, 13]
    quotas = share_out(count, class_sizes)
    assert sum(quotas) == count
    assert all(0 <= quota <= size for quota, size in zip(quotas, class_sizes, strict=True))


def test_take_per_class_draws_different_images_of_each_class_and_depends_on_the_seed() -> None:
    labels_N = labels(30, 20)
    first, again, other = (take_per_class(labels_N, [6, 4], seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.tolist() == sorted(set(first.tolist()))
    assert torch.bincount(labels_N[first]).tolist() == [6, 4]


def test_a_stratified_subset_keeps_proportions_and_pixels_stay_with_their_labels() -> None:
    labels_N = labels(60, 40)
    images_NCHW = labels_N.to(torch.uint8).view(-1, 1, 1, 1) + 7
    subset = stratified_subset(ImageTensor(images_NCHW=images_NCHW, labels_N=labels_N), 10, seed=3)
    assert torch.bincount(subset.labels_N).tolist() == [6, 4]
    assert torch.equal(subset.read(torch.arange(10)).flatten() - 7, subset.labels_N.to(torch.uint8))


def test_a_subset_of_all_images_is_the_images() -> None:
    images = make_images(12, seed=0)
    assert stratified_subset(images, 12, seed=0) is images


@pytest.mark.parametrize("count", [0, 13])
def test_a_subset_larger_than_the_images_or_empty_is_refused(count: int) -> None:
    with pytest.raises(InvalidDataError, match=f"between 1 and all 12 images, but {count} are asked for"):
        stratified_subset(make_images(12, seed=0), count, seed=0)


def test_a_subset_of_a_subset_reads_the_original() -> None:
    images = make_images(12, seed=0)
    inner = take(take(images, torch.tensor([2, 4, 6, 8])), torch.tensor([3, 1]))
    assert inner.parent is images
    assert torch.equal(inner.read(torch.tensor([0, 1])), images.read(torch.tensor([8, 4])))
    assert torch.equal(inner.labels_N, images.labels_N[torch.tensor([8, 4])])


def test_normalised_training_images_have_mean_zero_and_standard_deviation_one() -> None:
    images = make_images(40, seed=0)
    normalised_NCHW = measure_normalisation(images).apply(images.images_NCHW).double()
    assert normalised_NCHW.mean((0, 2, 3)).abs().max() < 1e-5
    assert (normalised_NCHW.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_normalisation_gives_channels_last_float32_and_the_formula() -> None:
    images_NCHW = make_images(3, seed=0).images_NCHW
    normalisation = Normalisation(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    got_NCHW = normalisation.apply(images_NCHW)
    mean_C11, std_C11 = (
        torch.tensor(values).view(3, 1, 1) for values in (normalisation.mean, normalisation.std)
    )
    assert got_NCHW.dtype == torch.float32
    assert got_NCHW.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got_NCHW, (images_NCHW / 255 - mean_C11) / std_C11, rtol=1e-5, atol=1e-6)


def test_images_that_are_all_the_same_can_be_normalised() -> None:
    images = ImageTensor(
        images_NCHW=torch.full((4, 1, 2, 2), 9, dtype=torch.uint8), labels_N=torch.zeros(4).long()
    )
    normalised_NCHW = measure_normalisation(images).apply(images.images_NCHW)
    assert normalised_NCHW.abs().max() < 1e-5


def test_large_sets_are_measured_on_evenly_spaced_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_PIXELS", 2 * 256)
    images = make_images(12, seed=0)
    every_sixth = take(images, torch.tensor([0, 6]))
    assert measure_normalisation(images) == measure_normalisation(every_sixth)


def test_a_normalisation_survives_a_round_trip_through_plain_values(tiny_data: DataSplits) -> None:
    normalisation = tiny_data.normalisation
    assert Normalisation.from_plain(normalisation.to_plain()) == normalisation


def changed(images: LabelledImages, *, pixel: bool = False, label: bool = False) -> LabelledImages:
    images_NCHW = images.read(torch.arange(len(images)))
    labels_N = images.labels_N.clone()
    if pixel:
        images_NCHW[1, 0, 5, 5] ^= 1
    if label:
        labels_N[1] = 3 - labels_N[1]
    return ImageTensor(images_NCHW=images_NCHW, labels_N=labels_N)


def test_the_fingerprint_is_that_of_the_content_not_of_the_objects(tiny_data: DataSplits) -> None:
    copies = (changed(images) for images in (tiny_data.train, tiny_data.validation, tiny_data.test))
    assert assemble_splits(*copies, class_names=tiny_data.class_names).fingerprint == tiny_data.fingerprint


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("what", ["pixel", "label"])
def test_one_pixel_or_label_changes_the_fingerprint(tiny_data: DataSplits, part: str, what: str) -> None:
    other = changed(getattr(tiny_data, part), pixel=what == "pixel", label=what == "label")
    splits = {name: getattr(tiny_data, name) for name in ("train", "validation", "test")} | {part: other}
    assert fingerprint_splits(**splits, num_classes=4) != tiny_data.fingerprint


def test_order_membership_and_number_of_classes_change_the_fingerprint(tiny_data: DataSplits) -> None:
    train, validation, test = tiny_data.train, tiny_data.validation, tiny_data.test
    reversed_train = take(train, torch.arange(len(train)).flip(0))
    shorter_train = take(train, torch.arange(len(train) - 1))
    fingerprints = {
        tiny_data.fingerprint,
        fingerprint_splits(reversed_train, validation, test, num_classes=4),
        fingerprint_splits(shorter_train, validation, test, num_classes=4),
        fingerprint_splits(train, test, validation, num_classes=4),
        fingerprint_splits(train, validation, test, num_classes=5),
    }
    assert len(fingerprints) == 5


def test_the_input_shape_is_channels_height_width(tiny_data: DataSplits) -> None:
    assert replace(tiny_data, in_channels=1, image_size=(5, 7)).input_shape == (1, 5, 7)
