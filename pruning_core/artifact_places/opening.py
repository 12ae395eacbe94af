"""From an address to the place that it names."""

from __future__ import annotations

from pathlib import Path

from pruning_core.artifact_places.addresses import read_address
from pruning_core.artifact_places.folder import FolderPlace
from pruning_core.artifact_places.place import ArtifactPlace

__all__ = ["open_place"]


def open_place(address: str | Path) -> ArtifactPlace:
    """Return the place at an address; nothing is asked of it yet.

    pyarrow is imported where there is a bucket: a command that reads a folder does not wait for it.

    Raises:
        InvalidSettingsError: A URI that cannot be used.
    """
    found = address if isinstance(address, Path) else read_address(address)
    if isinstance(found, Path):
        return FolderPlace(found)
    from pruning_core.artifact_places.bucket import BucketPlace

    return BucketPlace(found)
