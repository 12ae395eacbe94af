"""Disjoint, stratified, seeded training, validation and test images.

Shape suffixes used in this file:
    N  images
    C  colour channels
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from pruning_core.config import DatasetConfig
from pruning_core.data.fingerprints import fingerprint_splits
from pruning_core.data.image_statistics import measure_normalisation
from pruning_core.data.images import Augmentation, DataSplits, LabelledImages, stratified_subset, take
from pruning_core.data.sources import ImageSource
from pruning_core.data.stratification import share_out, take_per_class
from pruning_core.errors import InvalidDataError, InvalidSettingsError


def split_source(source: ImageSource, config: DatasetConfig) -> DataSplits:
    """Split a data set as the settings say.

    The test images are the set's own, or ``test_share`` of its images. ``train_images`` are chosen from the rest,
    and ``validation_share`` of those is held out, unless the set has validation images of its own.

    Raises:
        InvalidDataError: Fewer than two classes, labels out of range, a class too small to be split, or a subset
            larger than what there is.
        InvalidSettingsError: A setting has no effect on this data set.
    """
    _refuse_idle_settings(source, config)
    _check_labels(source)
    rest, test = source.train, source.test
    if test is None:
        rest, test = _hold_out(rest, config.test_share, _seed_for("test", config), source, left_over=2)
    train = _subset(rest, config.train_images, "train_images", _seed_for("train_images", config), source)
    test = _subset(test, config.test_images, "test_images", _seed_for("test_images", config), source)
    validation = source.validation
    if validation is None:
        share = source.validation_share if config.validation_share is None else config.validation_share
        train, validation = _hold_out(train, share, _seed_for("validation", config), source, left_over=1)
    augmentation = source.augmentation if config.augmentation == "auto" else Augmentation(config.augmentation)
    return assemble_splits(train, validation, test, class_names=source.class_names, augmentation=augmentation)


def assemble_splits(
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    *,
    class_names: Sequence[str],
    augmentation: Augmentation = Augmentation.NONE,
) -> DataSplits:
    """Put three splits together: shapes, normalisation and fingerprint follow from the images."""
    num_channels, height, width = train.read(torch.zeros(1, dtype=torch.int64)).shape[1:]
    return DataSplits(
        train=train,
        validation=validation,
        test=test,
        num_classes=len(class_names),
        class_names=tuple(class_names),
        in_channels=num_channels,
        image_size=(height, width),
        normalisation=measure_normalisation(train),
        augmentation=augmentation,
        fingerprint=fingerprint_splits(train, validation, test, num_classes=len(class_names)),
    )


def _refuse_idle_settings(source: ImageSource, config: DatasetConfig) -> None:
    default_test_share = DatasetConfig.model_fields["test_share"].default
    if source.test is not None and config.test_share != default_test_share:
        raise InvalidSettingsError(
            f"dataset.test_share must be left out for {source.name}, which has test images of its own, "
            f"but got {config.test_share:g}"
        )
    if source.validation is not None and config.validation_share is not None:
        raise InvalidSettingsError(
            f"dataset.validation_share must be left out for {source.name}, which has validation images of its own, "
            f"but got {config.validation_share:g}"
        )


def _check_labels(source: ImageSource) -> None:
    num_classes = len(source.class_names)
    parts = {"training": source.train, "validation": source.validation, "test": source.test}
    for part, images in parts.items():
        if images is None:
            continue
        if len(images) == 0:
            raise InvalidDataError(f"{source.name}: there must be {part} images, but there are none")
        lowest, highest = int(images.labels_N.min()), int(images.labels_N.max())
        if lowest < 0 or highest >= num_classes:
            wrong = lowest if lowest < 0 else highest
            raise InvalidDataError(
                f"{source.name}: labels must be between 0 and {num_classes - 1} (there are {num_classes} classes), "
                f"but a {part} image has {wrong}"
            )
    if num_classes < 2:
        raise InvalidDataError(
            f"{source.name}: there must be at least 2 classes to tell apart, but there is only "
            f"{source.class_names[0]!r}"
        )
    sizes = _class_sizes(source.train, source)
    if 0 in sizes:
        raise InvalidDataError(
            f"{source.name}: every class must have training images, but {source.class_names[sizes.index(0)]!r} "
            "has none"
        )


def _subset(
    images: LabelledImages, count: int | None, field: str, seed: int, source: ImageSource
) -> LabelledImages:
    if count is None:
        return images
    if count > len(images):
        raise InvalidDataError(
            f"dataset.{field} must be at most the {len(images)} images that {source.name} has for it, but got {count}"
        )
    return stratified_subset(images, count, seed)


def _hold_out(
    images: LabelledImages, share: float, seed: int, source: ImageSource, *, left_over: int
) -> tuple[LabelledImages, LabelledImages]:
    """Split off a share of each class, at least one image, leaving at least ``left_over``."""
    sizes = _class_sizes(images, source)
    smallest = min(range(len(sizes)), key=sizes.__getitem__)
    if sizes[smallest] < left_over + 1:
        raise InvalidDataError(
            f"{source.name}: every class must have at least {left_over + 1} images to be split, but "
            f"{source.class_names[smallest]!r} has {sizes[smallest]}; add images, or raise dataset.train_images"
        )
    quotas = share_out(round(share * sum(sizes)), sizes)
    quotas = [min(max(quota, 1), size - left_over) for quota, size in zip(quotas, sizes, strict=True)]
    held_N = take_per_class(images.labels_N, quotas, seed)
    return take(images, _complement(held_N, len(images))), take(images, held_N)


def _class_sizes(images: LabelledImages, source: ImageSource) -> list[int]:
    return [int(n) for n in torch.bincount(images.labels_N, minlength=len(source.class_names))]


def _complement(indices_N: Tensor, num_images: int) -> Tensor:
    is_left_N = torch.ones(num_images, dtype=torch.bool)
    is_left_N[indices_N] = False
    return is_left_N.nonzero().flatten()


def _seed_for(purpose: str, config: DatasetConfig) -> int:
    digest = hashlib.sha256(f"{config.split_seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
