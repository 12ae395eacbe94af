"""Where the finished stages of a study lie."""

from __future__ import annotations

from search.spec import SearchSpec
from search.studies.folder import StudyFolder

__all__ = ["artifact_address"]


def artifact_address(spec: SearchSpec, folder: StudyFolder) -> str:
    """Return the place that a study's spec names, or the folder beside the study.

    The latter follows the results folder when it is moved, whatever the spec says of ``storage.path``.
    """
    return spec.storage.artifacts or str(folder.artifacts_path)
