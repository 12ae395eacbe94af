"""Files that a crash may cut short, and what a full disk is called."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pruning_core.durable_files import flush_folder, write_flushed
from pruning_core.errors import StorageError

__all__ = ["cut_torn_lines", "is_storage_failure", "length_of_whole_lines", "storage_errors", "write_whole"]

_STORAGE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})


def is_storage_failure(error: BaseException) -> bool:
    """Tell whether an error is about the results folder, so that trying another trial cannot help."""
    if isinstance(error, StorageError):
        return True
    return isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into one line for the user.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageError(
                f"the disk that holds {folder} must have room for the results, but is full; free some and resume"
            ) from error
        raise StorageError(
            f"the results folder {folder} must be writable, but: {error.strerror or error}"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old text or the new, never a part, also after a power cut."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_flushed(partial, text.encode())
        partial.replace(path)
        flush_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def cut_torn_lines(path: Path) -> Path | None:
    """Cut what a crash left behind the last whole line of a file of JSON lines.

    A writer that appended to a torn line would spoil both. Only for the one process that may write the file.

    Returns:
        The file that the cut bytes were kept in, or None if nothing was torn.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    whole = length_of_whole_lines(content)
    if whole == len(content):
        return None
    aside = path.with_name(f"{path.name}.torn-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
    aside.write_bytes(content[whole:])
    with path.open("r+b") as file:
        file.truncate(whole)
        os.fsync(file.fileno())
    return aside


def length_of_whole_lines(content: bytes) -> int:
    """Return how many bytes of a file of JSON lines are whole lines that can be read, counted from its end."""
    end = content.rfind(b"\n") + 1
    while end > 0:
        start = content.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(content[start:end])
        except ValueError:
            end = start
        else:
            break
    return end
