"""Finished stages by key: an artifact is a set of named tensors and a set of facts.

Where they lie is the business of a place (`pruning_core.artifact_places`), a folder or a bucket. A reader sees a whole
artifact or none, and two writers of the same key do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from pruning_core.artifact_places import open_place
from pruning_core.errors import StorageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """What a stage leaves behind: ``tensors`` by name, and ``facts`` that JSON can hold."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class ArtifactStore:
    """Artifacts by key.

    Args:
        address: A folder, created on the first ``put``, or the URI of a bucket (``s3://BUCKET/PREFIX``); may be shared
            by several studies and machines.
    """

    def __init__(self, address: Path | str) -> None:
        self._place = open_place(address)

    @property
    def address(self) -> str:
        """Where the artifacts lie, as a user calls it."""
        return self._place.address

    def check(self) -> None:
        """Find out, before anything is computed, whether artifacts can be kept.

        Raises:
            StorageError: The object store does not answer, has no such bucket, or refuses; folders are not tried.
        """
        self._place.check()

    def has(self, key: str) -> bool:
        """Tell whether the artifact of a key is complete."""
        return self._place.has(key)

    def get(self, key: str) -> Artifact | None:
        """Read an artifact; tensors come back on the CPU. None if there is none.

        Raises:
            StorageError: The artifact is there but cannot be read.
        """
        kept = self._place.read(key)
        if kept is None:
            return None
        try:
            return Artifact(tensors=_load(kept.tensors), facts=kept.facts)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise StorageError(self._place.damaged(key, error)) from error

    def facts(self, key: str) -> Mapping[str, Any] | None:
        """Read an artifact's facts and leave its tensors where they are. None if there is none.

        Raises:
            StorageError: The artifact is there but its facts cannot be read.
        """
        return self._place.read_facts(key)

    def put(self, key: str, artifact: Artifact) -> None:
        """Store an artifact; nothing happens if the key has one already.

        Raises:
            StorageError: The place is full or cannot be written; nothing is left half-written.
        """
        if self._place.has(key):
            return
        facts = json.dumps(artifact.facts, allow_nan=False)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in artifact.tensors.items()}
        self._place.write(key, safetensors.torch.save(tensors), facts)

    def among(self, keys: Collection[str]) -> frozenset[str]:
        """Return those of the keys that have an artifact."""
        return self._place.among(keys)

    def discard(self, key: str) -> None:
        """Remove an artifact, if there is one."""
        if self._place.has(key):
            self._place.remove(key)

    def sweep(self) -> int:
        """Remove what processes that were killed while they wrote have left; returns how much there was."""
        return self._place.sweep()

    def abandoned(self) -> Sequence[str]:
        """Return what `sweep` would remove."""
        return self._place.abandoned()


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights and buffers as contiguous, unshared CPU tensors."""
    state = network.state_dict()
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def _load(tensors: Path | bytes) -> dict[str, Tensor]:
    if isinstance(tensors, bytes):
        return safetensors.torch.load(tensors)
    return safetensors.torch.load_file(tensors)
