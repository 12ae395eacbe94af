"""Trained networks that lie beside the benchmarks, so that nobody waits hours for them before a first figure.

Dense networks, predictors and selectors are the same for all rows of a seed. A stage's key says all that went into it,
data included: one of other settings is never taken for it.
"""

from __future__ import annotations

from pathlib import Path

from pruning_core.stage_keys import RunPlan
from pruning_core.stages import ArtifactStore

__all__ = ["COMMITTED", "copy_trained"]

COMMITTED = Path(__file__).parent / "networks"
_TRAINED = ("dense", "predictor", "selector")


def copy_trained(plan: RunPlan, source: ArtifactStore, target: ArtifactStore) -> list[str]:
    """Copy those trained networks of a run that only ``source`` holds; return the names of their stages.

    Raises:
        StorageError: One of them cannot be read or written.
    """
    copied = []
    for node in plan.nodes:
        if node.name not in _TRAINED or target.has(node.key):
            continue
        artifact = source.get(node.key)
        if artifact is not None:
            target.put(node.key, artifact)
            copied.append(node.name)
    return copied
