"""Rungs of a fine-tuning: the training between two epochs as an artifact, so that it can go on later and elsewhere.

A rung belongs to the fine-tuning whose schedule it lies on, and to no search: which rungs were made before it does
not show in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pruning_core.errors import InvalidSettingsError
from pruning_core.stage_keys import KEY_LENGTH
from pruning_core.stages.artifact_store import Artifact
from pruning_core.stages.context import StageContext
from pruning_core.training import TrainingState

__all__ = ["check_rung", "continued_seconds", "latest_rung", "rung_key", "state_of"]

RUNG_VERSION = 1
"""Raised when a rung holds something else; a training whose rungs are of another version starts anew."""


def rung_key(trial_key: str, epochs: int) -> str:
    """Return the key of the state after so many epochs of the fine-tuning that a trial key names."""
    text = f"rung {RUNG_VERSION} {epochs} {trial_key}"
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def check_rung(epochs: int, num_epochs: int) -> None:
    """Refuse a rung that does not lie between the first and the last epoch.

    Raises:
        InvalidSettingsError: It is the end of the training or beyond, or its start.
    """
    if not 1 <= epochs < num_epochs:
        raise InvalidSettingsError(
            f"a rung must be at 1 to {num_epochs - 1} of the {num_epochs} epochs of fine_tuning, but got {epochs}"
        )


def latest_rung(context: StageContext, *, until: int) -> Artifact | None:
    """Return the furthest rung of a run's fine-tuning that lies in the store; None if there is none.

    Args:
        context: Of stage ``fine_tune``; several processes start from the beginning together.
        until: Rungs after this epoch do not count.
    """
    if context.processes.count > 1:
        return None
    for epochs in range(until, 0, -1):
        found = context.store.get(rung_key(context.plan.trial_key, epochs))
        if found is not None:
            return found
    return None


def state_of(rung: Artifact) -> TrainingState:
    """Return what the training goes on from."""
    return TrainingState(losses=tuple(rung.facts["losses"]), tensors=rung.tensors)


def continued_seconds(rung: Artifact | None) -> Mapping[str, Any]:
    """Return what the parts of a fine-tuning before this one cost: ``seconds``, and peaks of memory where known."""
    if rung is None:
        return {}
    names = ("seconds", "peak_memory_mb", "peak_gpu_memory_mb")
    return {name: rung.facts[name] for name in names if rung.facts.get(name) is not None}
