"""Where finished stages lie: an artifact is a set of named tensors and a set of facts.

The store can ``get`` and ``put``. A put writes beside the target and renames, so that a reader sees a whole
artifact or none, and two writers of the same key do no harm: the first one wins. What a killed writer left beside
its target is swept when a later search starts.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from pruning_core.errors import StorageError
from pruning_core.kept_artifacts import FACTS_FILE, LAYOUT, artifact_folder

TENSORS_FILE = "tensors.safetensors"
_PARTIAL = ".partial-"
_ABANDONED_AFTER_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """What a stage leaves behind: ``tensors`` by name, and ``facts`` that JSON can hold."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class ArtifactStore:
    """Artifacts in a folder, by key.

    Args:
        root: Created on the first ``put``; may be shared by several studies and machines.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def has(self, key: str) -> bool:
        """Tell whether the artifact of a key is complete."""
        return self._folder(key).is_dir()

    def get(self, key: str) -> Artifact | None:
        """Read an artifact; tensors come back on the CPU. None if there is none.

        Raises:
            StorageError: The artifact is there but cannot be read.
        """
        folder = self._folder(key)
        if not folder.is_dir():
            return None
        try:
            return Artifact(
                tensors=safetensors.torch.load_file(folder / TENSORS_FILE),
                facts=json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")),
            )
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise StorageError(
                f"artifact {folder} must hold {TENSORS_FILE} and {FACTS_FILE}, but cannot be read ({error}); "
                "delete that folder, and the stage runs again"
            ) from error

    def put(self, key: str, artifact: Artifact) -> None:
        """Store an artifact; nothing happens if the key has one already.

        Raises:
            StorageError: The disk is full or the folder cannot be written; nothing is left half-written.
        """
        target = self._folder(key)
        if target.is_dir():
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
        except OSError as error:
            raise StorageError(_cannot_write(self.root, error)) from error
        try:
            _write(partial, artifact)
            partial.rename(target)
        except OSError as error:
            if not target.is_dir():  # otherwise another writer was first
                raise StorageError(_cannot_write(self.root, error)) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what processes that were killed while they wrote have left; returns how many folders.

        A folder counts as left behind a day after it was last written to. Whether its process lives cannot be known:
        other machines and containers may write to the same store.
        """
        partial = self.abandoned()
        for path in partial:
            shutil.rmtree(path, ignore_errors=True)
        return len(partial)

    def abandoned(self) -> list[Path]:
        """Return the folders that `sweep` would remove."""
        oldest = time.time() - _ABANDONED_AFTER_S
        return [path for path in self.root.glob(f"{LAYOUT}/*/{_PARTIAL}*") if _last_written(path) < oldest]

    def _folder(self, key: str) -> Path:
        return artifact_folder(self.root, key)


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights and buffers as contiguous, unshared CPU tensors."""
    state = network.state_dict()
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def _write(folder: Path, artifact: Artifact) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in artifact.tensors.items()}
    (folder / TENSORS_FILE).write_bytes(safetensors.torch.save(tensors))
    (folder / FACTS_FILE).write_text(json.dumps(artifact.facts, allow_nan=False), encoding="utf-8")
    folder.chmod(0o755)


def _last_written(folder: Path) -> float:
    """Return when a folder or a file in it was last written to; now, if it has just gone."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        return time.time()


def _cannot_write(root: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk that holds {root} must have room for the results, but is full; free some and resume"
    return f"the results folder {root} must be writable, but is not: {error.strerror}"
