"""Artifacts in a folder, each in a folder of its own.

A write goes beside its target and is renamed, so that a reader sees a whole artifact or none, also after a power cut;
the first of two writers wins. What a killed writer left beside its target is swept when a later search starts.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from pruning_core.artifact_places.place import ArtifactPlace, KeptArtifact
from pruning_core.durable_files import flush_folder, write_flushed
from pruning_core.errors import StorageError
from pruning_core.kept_artifacts import FACTS_FILE, LAYOUT, TENSORS_FILE, artifact_folder

__all__ = ["FolderPlace"]

_PARTIAL = ".partial-"
_ABANDONED_AFTER_S = 24 * 3600.0


class FolderPlace:
    """A folder of this machine or of a shared file system.

    Args:
        root: Created on the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root)

    @property
    def address(self) -> str:
        """The folder's path."""
        return str(self._root)

    def check(self) -> None:
        """Do nothing: the folder is made with its first artifact."""

    def has(self, key: str) -> bool:
        """Tell whether an artifact's folder is there."""
        return self._folder(key).is_dir()

    def among(self, keys: Collection[str]) -> frozenset[str]:
        """Look at each folder."""
        return frozenset(key for key in keys if self.has(key))

    def read(self, key: str) -> KeptArtifact | None:
        """Read the facts; the file of tensors is left to be mapped.

        Raises:
            StorageError: The artifact is there but its facts cannot be read.
        """
        facts = self.read_facts(key)
        return None if facts is None else KeptArtifact(tensors=self._folder(key) / TENSORS_FILE, facts=facts)

    def read_facts(self, key: str) -> dict[str, Any] | None:
        """Read one small file.

        Raises:
            StorageError: The artifact is there but its facts cannot be read.
        """
        if not self.has(key):  # asked first: by the time that a read fails, another may have written it
            return None
        try:
            facts: dict[str, Any] = json.loads((self._folder(key) / FACTS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(self.damaged(key, error)) from error
        return facts

    def facts_of(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """Read one small file per artifact.

        Raises:
            StorageError: An artifact is there but its facts cannot be read.
        """
        found = ((key, self.read_facts(key)) for key in keys)
        return {key: facts for key, facts in found if facts is not None}

    def write(self, key: str, tensors: bytes, facts: str) -> None:
        """Write beside the target and rename.

        Raises:
            StorageError: The disk is full or the folder cannot be written; nothing is left half-written.
        """
        target = self._folder(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
        except OSError as error:
            raise StorageError(self._cannot_write(error)) from error
        try:
            write_flushed(partial / TENSORS_FILE, tensors)
            write_flushed(partial / FACTS_FILE, facts.encode())
            partial.chmod(0o755)
            flush_folder(partial)
            partial.rename(target)
            flush_folder(target.parent)
        except OSError as error:
            if not target.is_dir():  # otherwise another writer was first
                raise StorageError(self._cannot_write(error)) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def damaged(self, key: str, reason: object) -> str:
        """Name the artifact's folder."""
        return (
            f"artifact {self._folder(key)} must hold {TENSORS_FILE} and {FACTS_FILE}, but cannot be read ({reason}); "
            "delete that folder, and the stage runs again"
        )

    def unreadable(self, keys: Collection[str]) -> dict[str, str]:
        """Read the facts and the head of the tensors of each artifact."""
        found = {}
        for key in keys:
            try:
                json.loads((self._folder(key) / FACTS_FILE).read_text(encoding="utf-8"))
                with safe_open(self._folder(key) / TENSORS_FILE, framework="numpy") as tensors:
                    tensors.keys()
            except (OSError, ValueError, SafetensorError) as error:
                found[key] = str(error)
        return found

    def remove(self, key: str) -> None:
        """Move an artifact's folder aside, so that nobody sees half of it, and delete it."""
        folder = self._folder(key)
        aside = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
        try:
            with suppress(FileNotFoundError):  # another process was first
                folder.rename(aside)
        finally:
            shutil.rmtree(aside)

    def sweep(self) -> int:
        """Remove what processes that were killed while they wrote have left; returns how many folders.

        A folder counts as left behind a day after it was last written to. Whether its process lives cannot be known:
        other machines and containers may write to the same place.
        """
        partial = self.abandoned()
        for path in partial:
            shutil.rmtree(path, ignore_errors=True)
        return len(partial)

    def abandoned(self) -> Sequence[str]:
        """Return the folders that `sweep` would remove."""
        oldest = time.time() - _ABANDONED_AFTER_S
        partial = self._root.glob(f"{LAYOUT}/*/{_PARTIAL}*")
        return [str(path) for path in partial if _last_written(path) < oldest]

    def _folder(self, key: str) -> Path:
        return artifact_folder(self._root, key)

    def _cannot_write(self, error: OSError) -> str:
        if error.errno == errno.ENOSPC:
            return f"the disk that holds {self._root} must have room for the results, but is full; free some and resume"
        return f"the results folder {self._root} must be writable, but is not: {error.strerror}"


def _last_written(folder: Path) -> float:
    """Return when a folder or a file in it was last written to; now, if it has just gone."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        return time.time()


if TYPE_CHECKING:
    _: ArtifactPlace = FolderPlace(Path())
