"""Artifacts in a bucket of an object store, each as one object, through `pyarrow.fs`.

Object stores show an object once its upload is complete, so a reader sees a whole artifact or none, and a killed writer
leaves nothing that can be seen. An upload that is interrupted before its first byte may leave an empty object, which
counts as none. Of two writers the last one wins, with a result of the same stage; a reader that had
begun with the other's notices by the length and reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pyarrow import fs

from pruning_core.artifact_places.addresses import BucketAddress
from pruning_core.artifact_places.one_object import (
    LENGTH_BYTES,
    Header,
    header_length,
    join_facts,
    read_header,
)
from pruning_core.artifact_places.place import ArtifactPlace, KeptArtifact
from pruning_core.artifact_places.store_access import bucket_errors, connect
from pruning_core.errors import StorageError
from pruning_core.kept_artifacts import LAYOUT, key_group

__all__ = ["BucketPlace"]

_SUFFIX = ".safetensors"
_NUM_AT_ONCE = 16  # requests; one of them takes tens of milliseconds, most of which is waiting
_FIRST_READ_BYTES = 64 * 1024  # holds the header of most artifacts

Answer = TypeVar("Answer")


class BucketPlace:
    """Part of a bucket of an object store. It is asked for the first time when something is read or written."""

    def __init__(self, address: BucketAddress) -> None:
        self._where = address

    @property
    def address(self) -> str:
        """As the user wrote it, which holds no credentials."""
        return self._where.text

    def check(self) -> None:
        """Write an object and delete it again."""
        probe = self._path(f"probe-{uuid4().hex}")
        with bucket_errors(self._where):
            self._upload(probe, b"")
            self._files.delete_file(probe)

    def has(self, key: str) -> bool:
        """Ask for one object."""
        with bucket_errors(self._where):
            return self._open(key) is not None

    def among(self, keys: Collection[str]) -> frozenset[str]:
        """List the groups of keys (at most 256) that are asked for, several at once."""
        groups = sorted({key_group(key) for key in keys})
        listed = self._at_once(self._list_group, groups)
        return frozenset(keys).intersection(set[str]().union(*listed))

    def read(self, key: str) -> KeptArtifact | None:
        """Read an object with one request for its length and one for its content.

        Raises:
            StorageError: The object is there but is no whole artifact.
        """
        with bucket_errors(self._where):
            content = self._content(key)
            if content is not None and _problem(content) is not None:
                content = self._content(key)  # another writer has just replaced it
        if content is None:
            return None
        problem = _problem(content)
        if problem is not None:
            raise StorageError(self.damaged(key, problem))
        return KeptArtifact(tensors=content, facts=read_header(content).facts)

    def read_facts(self, key: str) -> dict[str, Any] | None:
        """Read the beginning of an object.

        Raises:
            StorageError: The object is there but is no artifact.
        """
        return self._facts(key, self._header(key))

    def facts_of(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """List, and then read the beginnings of what is there, several at once.

        Raises:
            StorageError: An object is there but is no artifact.
        """
        present = sorted(self.among(keys))
        headers = zip(present, self._at_once(self._header, present), strict=True)
        found = ((key, self._facts(key, header)) for key, header in headers)
        return {key: facts for key, facts in found if facts is not None}

    def write(self, key: str, tensors: bytes, facts: str) -> None:
        """Upload one object, which can be seen when all of it is there."""
        with bucket_errors(self._where):
            self._upload(self._path(key), join_facts(tensors, facts))

    def damaged(self, key: str, reason: object) -> str:
        """Name the object."""
        return (
            f"object {self._path(key)} must be a whole artifact, but cannot be read ({reason}); delete it, and the "
            "stage runs again"
        )

    def unreadable(self, keys: Collection[str]) -> dict[str, str]:
        """Read their beginnings, several at once, and compare lengths."""
        headers = zip(keys, self._at_once(self._header, keys), strict=True)
        return {key: header for key, header in headers if isinstance(header, str)}

    def remove(self, key: str) -> None:
        """Delete an object."""
        with bucket_errors(self._where):
            self._files.delete_file(self._path(key))

    def abandoned(self) -> Sequence[str]:
        """Return nothing: parts of uploads that were cut short cannot be seen; the bucket's own rules delete them."""
        return ()

    def sweep(self) -> int:
        """Do nothing, see `abandoned`."""
        return 0

    @cached_property
    def _files(self) -> fs.FileSystem:
        return connect(self._where)

    def _path(self, name: str) -> str:
        return f"{self._folder(key_group(name))}/{name}{_SUFFIX}"

    def _folder(self, group: str) -> str:
        parts = (self._where.bucket, self._where.prefix, LAYOUT, group)
        return "/".join(part for part in parts if part)

    def _open(self, key: str) -> fs.NativeFile | None:
        """Open an object; None if there is none, or one without a byte, which is no artifact."""
        try:
            file = self._files.open_input_file(self._path(key))
        except FileNotFoundError:
            return None
        return file if file.size() else None

    def _content(self, key: str) -> bytes | None:
        file = self._open(key)
        if file is None:
            return None
        content: bytes = file.read_at(file.size(), 0)
        return content

    def _header(self, key: str) -> Header | str | None:
        """Read the beginning of an object; says what is wrong with one that is no whole artifact."""
        found = self._look(key)
        return (
            self._look(key) if isinstance(found, str) else found
        )  # another writer may just have replaced it

    def _look(self, key: str) -> Header | str | None:
        with bucket_errors(self._where):
            file = self._open(key)
            if file is None:
                return None
            size, beginning = file.size(), file.read_at(_FIRST_READ_BYTES, 0)
            try:
                end = LENGTH_BYTES + header_length(beginning)
                if len(beginning) < min(end, size):
                    beginning += file.read_at(min(end, size) - len(beginning), len(beginning))
                header = read_header(beginning)
            except ValueError as error:
                return str(error)
        return header if header.num_bytes == size else _cut(size, header)

    def _at_once(self, ask: Callable[[str], Answer], names: Iterable[str]) -> list[Answer]:
        assert self._files is not None  # connected once, before many ask
        with ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
            return list(pool.map(ask, names))

    def _facts(self, key: str, header: Header | str | None) -> dict[str, Any] | None:
        if isinstance(header, str):
            raise StorageError(self.damaged(key, header))
        return None if header is None else header.facts

    def _upload(self, path: str, content: bytes) -> None:
        with self._files.open_output_stream(path) as stream:
            stream.write(content)

    def _list_group(self, group: str) -> frozenset[str]:
        with bucket_errors(self._where):
            listed = self._files.get_file_info(fs.FileSelector(self._folder(group), allow_not_found=True))
        return frozenset(
            info.base_name.removesuffix(_SUFFIX) for info in listed if info.is_file and info.size
        )


def _problem(content: bytes) -> str | None:
    """Say why an object is no whole artifact; None if it is."""
    try:
        header = read_header(content)
    except ValueError as error:
        return str(error)
    return None if header.num_bytes == len(content) else _cut(len(content), header)


def _cut(size: int, header: Header) -> str:
    return f"it has {size} bytes, and its header says {header.num_bytes}"


if TYPE_CHECKING:
    _: ArtifactPlace = BucketPlace(BucketAddress(text="", scheme="", bucket="", prefix="", options={}))
