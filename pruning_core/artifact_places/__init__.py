"""Where artifacts lie: a folder, or a bucket of an object store; this package loads no torch."""

from pruning_core.artifact_places.opening import open_place
from pruning_core.artifact_places.place import ArtifactPlace, KeptArtifact

__all__ = ["ArtifactPlace", "KeptArtifact", "open_place"]
