"""Pixels are moved to an accelerator once, and files are read ahead; torch's ``meta`` device stands for one."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pruning_core.config import DatasetConfig
from pruning_core.data import (
    Augmentation,
    Batch,
    DataSplits,
    ImageSubset,
    image_folder,
    iterate_batches,
    load_data,
    residency,
    take,
)
from pruning_core.data.image_files import ImageFiles
from pruning_core.data.residency import read_batches
from pruning_core.distributed.processes import Processes
from pruning_core.errors import InvalidDataError, InvalidSettingsError
from tests.pruning_core_tests.test_data_folders import write_folder
from tests.synthetic import make_data, make_images

META, CPU = torch.device("meta"), torch.device("cpu")


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of the uint8 tensors that are moved to another device."""
    seen: list[torch.Size] = []
    move = Tensor.to

    def watched(tensor: Tensor, *arguments: object, **options: object) -> Tensor:
        moved: Tensor = move(tensor, *arguments, **options)  # type: ignore[call-overload]
        if tensor.dtype == torch.uint8 and tensor.device != moved.device:
            seen.append(tensor.shape)
        return moved

    monkeypatch.setattr(Tensor, "to", watched)
    return seen


def test_a_set_in_memory_is_moved_whole_and_once_with_all_its_subsets(moves: list[torch.Size]) -> None:
    images = make_images(40, seed=0)
    subset = take(images, torch.arange(30))
    for part in (images, subset, take(subset, torch.arange(7))):
        list(read_batches(part, torch.split(torch.arange(len(part)), 6), META))
    assert moves == [images.images_NCHW.shape]


def test_a_resident_set_goes_with_its_owner() -> None:
    images = make_images(4, seed=0)
    list(read_batches(images, [torch.arange(2)], META))
    before = len(residency._residents)
    del images
    gc.collect()
    assert len(residency._residents) == before - 1


def test_a_set_that_is_too_large_is_moved_batch_by_batch(
    moves: list[torch.Size], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images(10, seed=0)
    monkeypatch.setattr(residency, "MAX_RESIDENT_BYTES", images.images_NCHW.nbytes - 1)
    list(read_batches(images, torch.split(torch.arange(10), 4), META))
    assert [shape[0] for shape in moves] == [4, 4, 2]


def test_on_the_cpu_nothing_is_kept(moves: list[torch.Size]) -> None:
    images = make_images(10, seed=0)
    before = len(residency._residents)
    (pixels_NCHW,) = read_batches(images, [torch.tensor([3, 1])], CPU)
    assert torch.equal(pixels_NCHW, images.images_NCHW[[3, 1]])
    assert moves == []
    assert len(residency._residents) == before


@pytest.mark.parametrize("augmentation", list(Augmentation))
def test_batches_are_made_on_the_device_that_asks(augmentation: Augmentation) -> None:
    data = make_data()
    batches = list(
        iterate_batches(
            data.train,
            data.normalisation,
            batch_size=50,
            device="meta",
            generator=torch.Generator().manual_seed(0),
            augmentation=augmentation,
        )
    )
    assert [tuple(batch.images_NCHW.shape) for batch in batches] == [(n, 3, 16, 16) for n in (50, 50, 28)]
    assert {batch.images_NCHW.device for batch in batches} == {META}
    assert {batch.labels_N.device for batch in batches} == {META}
    assert {batch.indices_N.device for batch in batches} == {CPU}


def streamed(root: Path, monkeypatch: pytest.MonkeyPatch) -> DataSplits:
    """An image folder whose files are decoded when they are read."""
    monkeypatch.setattr(image_folder, "MAX_DECODED_BYTES", 1)
    return load_data(DatasetConfig(name="image_folder", root=str(write_folder(root, "train", "test"))))


def test_files_come_in_order_and_one_batch_ahead_in_a_thread_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = streamed(tmp_path, monkeypatch).train
    assert isinstance(train, ImageSubset)
    read, reads = ImageFiles.read, []

    def watched(files: ImageFiles, indices_N: Tensor) -> Tensor:
        reads.append((indices_N.tolist(), threading.current_thread() is threading.main_thread()))
        return read(files, indices_N)

    monkeypatch.setattr(ImageFiles, "read", watched)
    wanted = torch.split(torch.arange(len(train)).flip(0), 4)
    came = list(read_batches(train, wanted, CPU))
    positions = [train.indices_N[indices_N] for indices_N in wanted]
    assert reads == [(indices_N.tolist(), False) for indices_N in positions]
    for pixels_NCHW, indices_N in zip(came, wanted, strict=True):
        assert torch.equal(pixels_NCHW, train.read(indices_N))


def test_reading_ahead_ends_with_the_reader_and_tells_of_files_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = streamed(tmp_path, monkeypatch).train
    batches = read_batches(train, torch.split(torch.arange(len(train)), 2), CPU)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert not any(thread.name.startswith("read-ahead") for thread in threading.enumerate())
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(InvalidDataError, match="every file must be a readable image"):
        list(read_batches(train, [torch.arange(2)], CPU))
    assert list(read_batches(train, [], CPU)) == []


@pytest.mark.parametrize("augmentation", list(Augmentation))
def test_the_shares_of_several_processes_make_up_the_batches_of_one(augmentation: Augmentation) -> None:
    data = make_data()

    def batches(processes: Processes) -> list[Batch]:
        return list(
            iterate_batches(
                data.train,
                data.normalisation,
                batch_size=48,
                generator=torch.Generator().manual_seed(3),
                augmentation=augmentation,
                drop_last=True,
                processes=processes,
            )
        )

    alone = batches(Processes())
    shared = [batches(Processes(rank=rank, count=3)) for rank in range(3)]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert [len(part.labels_N) for part in parts] == [16, 16, 16]
        assert torch.equal(torch.cat([part.indices_N for part in parts]), whole.indices_N)
        assert torch.equal(torch.cat([part.images_NCHW for part in parts]), whole.images_NCHW)
        assert torch.equal(torch.cat([part.labels_N for part in parts]), whole.labels_N)


def test_batches_that_do_not_divide_equally_are_refused() -> None:
    message = "a batch must divide equally between 3 processes, but one has 50 images; set batch_size"
    data = make_data()
    with pytest.raises(InvalidSettingsError, match=message):
        next(iterate_batches(data.train, data.normalisation, batch_size=50, processes=Processes(count=3)))
