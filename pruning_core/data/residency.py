"""Pixels on the device that asks for them: sets in memory are moved there once, files are read ahead of their use.

Shape suffixes used in this file:
    N  images
    C  colour channels
    H, W  image height and width in pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pruning_core.data.image_files import ImageFiles
from pruning_core.data.images import ImageSubset, ImageTensor, LabelledImages

MAX_RESIDENT_BYTES = 2 * 10**9
"""Larger sets stay in the memory of the CPU, and their batches are moved one by one."""

_residents: WeakKeyDictionary[ImageTensor, dict[torch.device, Tensor]] = WeakKeyDictionary()


def read_batches(images: LabelledImages, indices: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield the pixels (uint8, NCHW, on the device) at each of several sets of positions, in their order.

    A set in memory of at most ``MAX_RESIDENT_BYTES`` is moved to an accelerator the first time, whole, and stays there
    as long as its owner keeps it; its subsets gather from the same copy. Files are decoded one batch ahead, in a
    thread of their own, while the last batch is in use.
    """
    parent, positions = _without_subset(images, indices)
    if isinstance(parent, ImageFiles):
        yield from (move(pixels_NCHW, device) for pixels_NCHW in _read_ahead(parent.read, positions))
    elif isinstance(parent, ImageTensor) and _is_kept_on(device, parent):
        pixels_NCHW = _resident(parent, device)
        yield from (pixels_NCHW.index_select(0, move(indices_N, device)) for indices_N in positions)
    else:
        yield from (move(parent.read(indices_N), device) for indices_N in positions)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a CPU tensor to a device; to CUDA from pinned memory, so that neither side waits for the other."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _without_subset(
    images: LabelledImages, indices: Sequence[Tensor]
) -> tuple[LabelledImages, Sequence[Tensor]]:
    if isinstance(images, ImageSubset):
        return images.parent, [images.indices_N[indices_N] for indices_N in indices]
    return images, indices


def _is_kept_on(device: torch.device, images: ImageTensor) -> bool:
    return device.type != "cpu" and images.images_NCHW.nbytes <= MAX_RESIDENT_BYTES


def _resident(images: ImageTensor, device: torch.device) -> Tensor:
    copies = _residents.setdefault(images, {})
    if device not in copies:
        copies[device] = images.images_NCHW.to(device)
    return copies[device]


def _read_ahead(read: Callable[[Tensor], Tensor], indices: Sequence[Tensor]) -> Iterator[Tensor]:
    if not indices:
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        coming = pool.submit(read, indices[0])
        for indices_N in indices[1:]:
            came, coming = coming, pool.submit(read, indices_N)
            yield came.result()
        yield coming.result()
    finally:
        pool.shutdown(cancel_futures=True)
