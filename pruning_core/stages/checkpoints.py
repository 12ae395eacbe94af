"""Checkpoints: where a training that was killed goes on, instead of from its beginning.

One is written between two epochs when the last one is two minutes old; it replaces the one before, and the end of the
stage removes it. Nobody asks for a checkpoint, and whether there was one does not show in what a stage gives: on the
CPU the weights are the same, bit by bit. Rungs (`stages.rungs`) are as good to go on from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pruning_core.config import PruningConfig
from pruning_core.errors import StorageError
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from pruning_core.stages.context import StageContext
from pruning_core.stages.rungs import rung_key, state_key
from pruning_core.training import TrainingState

__all__ = [
    "CHECKPOINTED_STAGES",
    "CheckpointWriter",
    "continued_seconds",
    "latest_state",
    "remove_checkpoints",
    "state_of",
]

CHECKPOINT_VERSION = 1
"""Raised when a checkpoint holds something else; one of another version is not seen."""

CHECKPOINTED_STAGES: Mapping[str, Callable[[PruningConfig], int]] = {
    "dense": lambda config: config.dense_training.epochs,
    "predictor": lambda config: config.saliency.predictor.epochs,
    "selector": lambda config: config.saliency.selector.epochs,
    "fine_tune": lambda config: config.fine_tuning.epochs,
}
"""Number of epochs of their trainings."""

_EVERY_S = 120.0
"""Writing takes milliseconds for networks of CIFAR's size, a second or two for a ResNet-50 over a network."""


class CheckpointWriter:
    """Keeps a training's last state in the store; made when its stage begins.

    Args:
        context: Of the stage; with several processes, all of them make one and the first writes.
        stage: A key of ``CHECKPOINTED_STAGES``.
        start: What the training goes on from.
        facts: That its stage needs besides to go on.
    """

    def __init__(
        self,
        context: StageContext,
        stage: str,
        start: Artifact | None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._context = context
        self._key = context.plan.key_of(stage)
        self._before = continued_seconds(start)
        self._facts = dict(facts or {})
        self._began = self._written = time.perf_counter()

    def see(self, state: TrainingState) -> None:
        """Take note of a finished epoch."""
        now = time.perf_counter()
        if now - self._written < _EVERY_S or not self._context.processes.is_first:
            return
        seconds = self._before.get("seconds", 0.0) + now - self._began
        facts = {**self._facts, **self._before, "losses": list(state.losses), "seconds": seconds}
        key = _checkpoint_key(self._key, state.epochs)
        self._context.store.put(key, Artifact(tensors=state.tensors, facts=facts))
        _remove(self._context.store, set(_checkpoint_keys(self._key, state.epochs - 1)))
        self._written = time.perf_counter()


def latest_state(context: StageContext, stage: str, *, until: int) -> Artifact | None:
    """Return what a stage's training can go on from: its furthest rung or checkpoint; None if there is none.

    Args:
        context: Of the stage; several processes get the same.
        stage: A key of ``CHECKPOINTED_STAGES``.
        until: Epochs; what lies behind them does not count.

    Raises:
        StorageError: One of several processes does not see what the first one sees.
    """
    key, store, processes = context.plan.key_of(stage), context.store, context.processes
    furthest_first = [
        one(key, epochs) for epochs in range(until, 0, -1) for one in (rung_key, _checkpoint_key)
    ]
    present = store.among(set(furthest_first))
    for candidate in furthest_first:
        if processes.agree(answer=candidate in present):
            found = store.get(candidate)
            if found is None:
                raise StorageError(
                    f"the results folder {store.address} must be one that all processes see, but process "
                    f"{processes.rank} does not find {candidate} there"
                )
            return found
    return None


def remove_checkpoints(context: StageContext, stage: str) -> None:
    """Take away what a finished training, or one that paused, has left."""
    epochs = CHECKPOINTED_STAGES[stage](context.config)
    _remove(context.store, set(_checkpoint_keys(context.plan.key_of(stage), epochs)))


def state_of(found: Artifact | None) -> TrainingState | None:
    """Return what the training goes on from; None: from its beginning."""
    return (
        None if found is None else TrainingState(losses=tuple(found.facts["losses"]), tensors=found.tensors)
    )


def continued_seconds(found: Artifact | None) -> dict[str, Any]:
    """Return what the parts of a training before this one cost: ``seconds``, and peaks of memory where known."""
    if found is None:
        return {}
    names = ("seconds", "peak_memory_mb", "peak_gpu_memory_mb")
    return {name: found.facts[name] for name in names if found.facts.get(name) is not None}


def _remove(store: ArtifactStore, keys: set[str]) -> None:
    for key in store.among(keys):
        store.discard(key)


def _checkpoint_keys(stage_key: str, epochs: int) -> Iterator[str]:
    return (_checkpoint_key(stage_key, one) for one in range(1, epochs + 1))


def _checkpoint_key(stage_key: str, epochs: int) -> str:
    return state_key(f"checkpoint {CHECKPOINT_VERSION}", epochs, stage_key)
