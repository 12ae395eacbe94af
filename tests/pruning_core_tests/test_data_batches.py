"""Batches: order, completeness, augmentation against a per-image oracle."""

from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.data import Augmentation, DataSplits, ImageTensor, Normalisation, augment, iterate_batches
from tests.synthetic import make_images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_a_generator_images_come_once_and_in_order(tiny_data: DataSplits) -> None:
    batches = list(iterate_batches(tiny_data.train, tiny_data.normalisation, batch_size=50))
    assert [len(batch.labels_N) for batch in batches] == [50, 50, 28]
    assert torch.equal(torch.cat([batch.indices_N for batch in batches]), torch.arange(128))
    pixels_NCHW = tiny_data.train.read(torch.arange(128))
    assert torch.equal(
        torch.cat([batch.images_NCHW for batch in batches]), tiny_data.normalisation.apply(pixels_NCHW)
    )


def test_with_a_generator_every_image_comes_once_in_the_order_of_the_seed(tiny_data: DataSplits) -> None:
    def order(seed: int) -> Tensor:
        batches = iterate_batches(
            tiny_data.train, tiny_data.normalisation, batch_size=50, generator=generator(seed)
        )
        return torch.cat([batch.indices_N for batch in batches])

    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))
    assert torch.equal(order(1).sort().values, torch.arange(128))


def test_indices_name_the_images_and_labels_of_the_batch(tiny_data: DataSplits) -> None:
    for batch in iterate_batches(
        tiny_data.train, tiny_data.normalisation, batch_size=50, generator=generator()
    ):
        pixels_NCHW = tiny_data.train.read(batch.indices_N)
        assert torch.equal(batch.images_NCHW, tiny_data.normalisation.apply(pixels_NCHW))
        assert torch.equal(batch.labels_N, tiny_data.train.labels_N[batch.indices_N])


@pytest.mark.parametrize("augmentation", list(Augmentation))
def test_batches_are_channels_last_float32(tiny_data: DataSplits, augmentation: Augmentation) -> None:
    batch = next(
        iterate_batches(
            tiny_data.train,
            tiny_data.normalisation,
            batch_size=8,
            generator=generator(),
            augmentation=augmentation,
        )
    )
    assert batch.images_NCHW.dtype == torch.float32
    assert batch.images_NCHW.is_contiguous(memory_format=torch.channels_last)


def test_drop_last_leaves_out_only_a_batch_that_is_not_full(tiny_data: DataSplits) -> None:
    def sizes(batch_size: int) -> list[int]:
        batches = iterate_batches(
            tiny_data.train, tiny_data.normalisation, batch_size=batch_size, drop_last=True
        )
        return [len(batch.labels_N) for batch in batches]

    assert sizes(50) == [50, 50]
    assert sizes(64) == [64, 64]


def test_augmentation_without_a_generator_is_refused(tiny_data: DataSplits) -> None:
    batches = iterate_batches(
        tiny_data.train, tiny_data.normalisation, batch_size=8, augmentation=Augmentation.CROP
    )
    with pytest.raises(ValueError, match="'crop' needs a generator"):
        next(batches)


def all_shifts(image_CHW: Tensor, margin: int, *, flips: bool) -> list[Tensor]:
    """Every image that the augmentation may make, one by one."""
    height, width = image_CHW.shape[1:]
    padded_CHW = F.pad(image_CHW, (margin, margin, margin, margin))
    shifts = [
        padded_CHW[:, top : top + height, left : left + width]
        for top in range(2 * margin + 1)
        for left in range(2 * margin + 1)
    ]
    return shifts + [shift.flip(2) for shift in shifts] if flips else shifts


@pytest.mark.parametrize(("side", "margin"), [(16, 2), (32, 4)])
@pytest.mark.parametrize("augmentation", [Augmentation.CROP, Augmentation.CROP_FLIP])
def test_augmented_images_are_shifted_and_flipped_copies(
    side: int, margin: int, augmentation: Augmentation
) -> None:
    images_NCHW = torch.randint(1, 256, (40, 3, side, side), generator=generator(), dtype=torch.uint8)
    augmented_NCHW = augment(images_NCHW, augmentation, generator(5))
    seen = set()
    for image_CHW, got_CHW in zip(images_NCHW, augmented_NCHW, strict=True):
        allowed = all_shifts(image_CHW, margin, flips=augmentation is Augmentation.CROP_FLIP)
        matches = [position for position, shift in enumerate(allowed) if torch.equal(shift, got_CHW)]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 15  # offsets are drawn per image


def test_a_seed_means_the_same_shifts_as_ever_and_a_share_gets_those_of_its_rows() -> None:
    images_NCHW = torch.randint(0, 256, (12, 3, 16, 24), generator=generator(1), dtype=torch.uint8)
    draws = generator(7)
    top_N, left_N = (torch.randint(0, 5, (12, 1), generator=draws).flatten().tolist() for _ in range(2))
    is_flipped_N = torch.randint(0, 2, (12, 1), generator=draws).flatten().tolist()
    padded_NCHW = F.pad(images_NCHW, (2, 2, 2, 2))
    expected = [
        padded_NCHW[row, :, top : top + 16, left : left + 24].flip(2)
        if is_flipped
        else padded_NCHW[row, :, top : top + 16, left : left + 24]
        for row, (top, left, is_flipped) in enumerate(zip(top_N, left_N, is_flipped_N, strict=True))
    ]
    augmented_NCHW = augment(images_NCHW, Augmentation.CROP_FLIP, generator(7))
    assert torch.equal(augmented_NCHW, torch.stack(expected))
    share = slice(4, 8)
    shared_NCHW = augment(
        images_NCHW[share], Augmentation.CROP_FLIP, generator(7), batch_size=12, share=share
    )
    assert torch.equal(shared_NCHW, augmented_NCHW[share])


def test_about_half_of_the_images_are_flipped() -> None:
    ramp_W = torch.arange(1, 17, dtype=torch.uint8)
    images_NCHW = ramp_W.expand(1000, 1, 16, 16)
    augmented_NCHW = augment(images_NCHW, Augmentation.CROP_FLIP, generator())
    is_flipped_N = augmented_NCHW[:, 0, 8, 4] > augmented_NCHW[:, 0, 8, 11]
    assert 420 < int(is_flipped_N.sum()) < 580


def test_all_offsets_are_drawn_equally_often() -> None:
    marked_NCHW = torch.zeros(5000, 1, 16, 16, dtype=torch.uint8)
    marked_NCHW[:, 0, 8, 8] = 1
    counts_HW = augment(marked_NCHW, Augmentation.CROP, generator())[:, 0].long().sum(0)
    assert int(counts_HW[6:11, 6:11].sum()) == 5000
    assert int(counts_HW[6:11, 6:11].min()) > 150  # 200 expected of each of the 25


def test_images_that_are_not_square_are_shifted_too() -> None:
    images_NCHW = torch.randint(1, 256, (10, 1, 16, 24), generator=generator(), dtype=torch.uint8)
    for image_CHW, got_CHW in zip(
        images_NCHW, augment(images_NCHW, Augmentation.CROP, generator()), strict=True
    ):
        assert any(torch.equal(shift, got_CHW) for shift in all_shifts(image_CHW, 2, flips=False))


def test_no_augmentation_gives_the_images_themselves() -> None:
    images_NCHW = make_images(4, seed=0).images_NCHW
    assert augment(images_NCHW, Augmentation.NONE, generator()) is images_NCHW


def test_thirty_thousand_images_a_second_are_augmented() -> None:
    images_NCHW = torch.randint(0, 256, (10_000, 3, 32, 32), generator=generator(), dtype=torch.uint8)
    images = ImageTensor(images_NCHW=images_NCHW, labels_N=torch.zeros(10_000, dtype=torch.int64))
    normalisation = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.3, 0.3, 0.3))
    started = time.process_time()
    for _ in iterate_batches(
        images, normalisation, batch_size=128, generator=generator(), augmentation=Augmentation.CROP_FLIP
    ):
        pass
    assert 10_000 / (time.process_time() - started) > 30_000
