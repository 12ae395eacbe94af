"""A worker's memory between work items."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from search.execution.freed_memory import return_freed_memory

CODE = """
import sys
from pathlib import Path
from search.execution.freed_memory import return_freed_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

# Blocks of the heap, with every hundredth kept: what is free between them stays resident.
blocks = [bytearray(100_000) for _ in range(4000)]
kept = blocks[::100]
full = resident_mb()
del blocks
before = resident_mb()
return_freed_memory()
print(full, before, resident_mb())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries return freed memory themselves"
)
def test_what_lies_free_between_used_blocks_goes_back_to_the_system() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, before, after = (float(figure) for figure in found.stdout.split())
    assert full > 350
    assert after < 0.5 * full
    assert after < before


COUNT_GARBAGE = """
import gc
import weakref
from search.execution.freed_memory import return_freed_memory

class Node: ...

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

return_freed_memory()
gc.disable()
later = [cycle() for _ in range(100)]
return_freed_memory()
print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000, sum(node() is not None for node in later))
"""


def test_what_came_since_the_first_call_is_collected_and_libraries_are_left_alone() -> None:
    found = subprocess.run([sys.executable, "-c", COUNT_GARBAGE], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True", "0"]


def test_what_torch_keeps_on_a_gpu_goes_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    return_freed_memory()
    assert emptied == [True]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    return_freed_memory()
    assert emptied == [True]
