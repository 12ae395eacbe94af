"""Peak memory of one stage among others in the same process."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest
import torch

from pruning_core.stages import peak_memory
from pruning_core.stages.peak_memory import measure_peak_memory, process_peak_mb

_SIZE = 256_000_000  # bytes; far above what else the test process may allocate meanwhile
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak cannot be set back")


def hold_for_a_moment() -> None:
    """Touch pages of the kernel's own, not of the heap, where earlier tests may have left that much resident."""
    with mmap.mmap(-1, _SIZE) as pages:
        pages[:: mmap.PAGESIZE] = b"\1" * len(range(0, _SIZE, mmap.PAGESIZE))


@on_linux
def test_memory_that_was_freed_within_the_block_counts() -> None:
    with measure_peak_memory("cpu") as idle:
        pass
    with measure_peak_memory("cpu") as busy:
        hold_for_a_moment()
    assert idle.resident_mb is not None
    assert busy.resident_mb is not None
    assert busy.resident_mb - idle.resident_mb == pytest.approx(_SIZE / 1e6, rel=0.2)
    assert busy.gpu_mb is None


@on_linux
def test_what_an_earlier_block_needed_does_not_count() -> None:
    with measure_peak_memory("cpu") as busy:
        hold_for_a_moment()
    with measure_peak_memory("cpu") as idle:
        pass
    assert busy.resident_mb is not None
    assert idle.resident_mb is not None
    assert idle.resident_mb < busy.resident_mb - 0.8 * _SIZE / 1e6


def test_an_earlier_higher_peak_that_cannot_be_set_back_leaves_the_peak_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR_REFS", tmp_path / "no such folder" / "clear_refs")
    hold_for_a_moment()
    with measure_peak_memory("cpu") as idle:
        pass
    assert idle.resident_mb is None


@on_linux
def test_a_higher_peak_than_any_before_is_known_even_if_none_can_be_set_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with measure_peak_memory("cpu"):
        pass
    monkeypatch.setattr(peak_memory, "_CLEAR_REFS", tmp_path / "no such folder" / "clear_refs")
    with measure_peak_memory("cpu") as busy:
        hold_for_a_moment()
    assert busy.resident_mb == process_peak_mb()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_its_own_peak_is_measured_too() -> None:
    with measure_peak_memory("cuda") as idle:
        pass
    with measure_peak_memory("cuda") as busy:
        torch.empty(_SIZE, dtype=torch.uint8, device="cuda")
    assert idle.gpu_mb is not None
    assert busy.gpu_mb is not None
    assert busy.gpu_mb - idle.gpu_mb == pytest.approx(_SIZE / 1e6, rel=0.05)
