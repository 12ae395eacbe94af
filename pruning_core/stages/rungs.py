"""Rungs of a fine-tuning: the training between two epochs as an artifact, so that it can go on later and elsewhere.

A rung belongs to the fine-tuning whose schedule it lies on, and to no search: which rungs were made before it does
not show in it.
"""

from __future__ import annotations

import hashlib

from pruning_core.errors import InvalidSettingsError
from pruning_core.stage_keys import KEY_LENGTH

__all__ = ["check_rung", "rung_key", "state_key"]

RUNG_VERSION = 1
"""Raised when a rung holds something else; a training whose rungs are of another version starts anew."""


def rung_key(trial_key: str, epochs: int) -> str:
    """Return the key of the state after so many epochs of the fine-tuning that a trial key names."""
    return state_key(f"rung {RUNG_VERSION}", epochs, trial_key)


def state_key(kind: str, epochs: int, stage_key: str) -> str:
    """Return the key of a kind of state after so many epochs of the training that a stage key names."""
    return hashlib.sha256(f"{kind} {epochs} {stage_key}".encode()).hexdigest()[:KEY_LENGTH]


def check_rung(epochs: int, num_epochs: int) -> None:
    """Refuse a rung that does not lie between the first and the last epoch.

    Raises:
        InvalidSettingsError: It is the end of the training or beyond, or its start.
    """
    if not 1 <= epochs < num_epochs:
        raise InvalidSettingsError(
            f"a rung must be at 1 to {num_epochs - 1} of the {num_epochs} epochs of fine_tuning, but got {epochs}"
        )
