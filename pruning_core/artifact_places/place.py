"""What every place for artifacts offers: whole artifacts by key, as bytes; nothing here knows of tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["ArtifactPlace", "KeptArtifact"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptArtifact:
    """An artifact as it lies there. ``tensors``: a safetensors file that can be mapped, or the bytes of one."""

    tensors: Path | bytes
    facts: Mapping[str, Any]


class ArtifactPlace(Protocol):
    """Artifacts never change under a key: a reader sees a whole one or none, and two writers of a key do no harm.

    Everything raises `StorageError` where the place cannot be read or written.
    """

    @property
    def address(self) -> str:
        """What a user calls the place."""

    def check(self) -> None:
        """Find out, before anything is computed, whether artifacts can be kept here."""

    def has(self, key: str) -> bool:
        """Tell whether there is an artifact of a key."""

    def among(self, keys: Collection[str]) -> frozenset[str]:
        """Return those of the keys that have an artifact; what is far away is listed, not asked for one by one."""

    def read(self, key: str) -> KeptArtifact | None:
        """Read an artifact; None if there is none."""

    def read_facts(self, key: str) -> dict[str, Any] | None:
        """Read the facts of an artifact without its tensors; None if there is none."""

    def facts_of(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """Read the facts of those of the keys that have an artifact; what is far away is listed first."""

    def write(self, key: str, tensors: bytes, facts: str) -> None:
        """Keep an artifact: a safetensors file and facts as JSON. It replaces nothing but one of the same key."""

    def damaged(self, key: str, reason: object) -> str:
        """Say that an artifact cannot be read and what to do about it."""

    def unreadable(self, keys: Collection[str]) -> dict[str, str]:
        """Return why some of the artifacts that are there cannot be read, by key; weights are not looked at."""

    def remove(self, key: str) -> None:
        """Take an artifact away."""

    def abandoned(self) -> Sequence[str]:
        """Return what killed writers left behind a day ago or earlier, which counts as no artifact."""

    def sweep(self) -> int:
        """Remove what is abandoned; returns how much there was."""
