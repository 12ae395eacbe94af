from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pruning_core.errors import InvalidDataError, StorageError
from search.disk import cut_torn_lines, is_storage_failure, storage_errors, write_whole

WHOLE = b'{"a": 1}\n{"b": 2}\n'


@pytest.mark.parametrize(
    "torn", [b'{"c"', b"{", b'{"c": 3}', b"\x00\x00\x00\x00", b"\x00\x00\n", b'{"c"\n{"d"\n']
)
def test_what_a_crash_left_is_cut_and_kept_aside(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(WHOLE + torn)
    aside = cut_torn_lines(path)
    assert path.read_bytes() == WHOLE
    assert aside is not None
    assert aside.read_bytes() == torn


@pytest.mark.parametrize("content", [b"", WHOLE])
def test_whole_files_are_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    assert cut_torn_lines(path) is None
    assert path.read_bytes() == content
    assert [child.name for child in tmp_path.iterdir()] == ["journal"]


def test_a_file_that_is_not_there_is_not_torn(tmp_path: Path) -> None:
    assert cut_torn_lines(tmp_path / "journal") is None


def test_a_file_with_nothing_whole_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"a"')
    cut_torn_lines(path)
    assert path.read_bytes() == b""


def test_every_length_of_a_torn_write_is_mended(tmp_path: Path) -> None:
    line = b'{"op": 8, "user_attr": {"record": "x"}}\n'
    for length in range(1, len(line)):
        path = tmp_path / f"journal-{length}"
        path.write_bytes(WHOLE + line[:length])
        cut_torn_lines(path)
        # The newline alone may be missing; the line is cut all the same, because it was never confirmed.
        assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_in_one_line(tmp_path: Path, code: int) -> None:
    with (
        pytest.raises(
            StorageError, match=r"must have room for the results, but is full; free some and resume"
        ),
        storage_errors(tmp_path),
    ):
        raise OSError(code, "No space left on device")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=f"{tmp_path} must be writable, but: Permission denied"),
        storage_errors(tmp_path),
    ):
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("error", "is_storage"),
    [
        (StorageError("full"), True),
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EROFS, "read-only"), True),
        (FileNotFoundError(errno.ENOENT, "no such file"), False),
        (InvalidDataError("one class"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_only_errors_of_the_results_folder_end_a_search(error: Exception, is_storage: bool) -> None:
    assert is_storage_failure(error) is is_storage


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    write_whole(path, "old")
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert [child.name for child in tmp_path.iterdir()] == ["timing.json"]
