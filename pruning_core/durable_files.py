"""Files that are there after a power cut: what a rename promises to readers holds for the disk only once it is flushed.

Without, a file system may keep the new name of a file and lose its content.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["flush_folder", "write_flushed"]


def write_flushed(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the disk has a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
