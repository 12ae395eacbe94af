"""A backend that trains nothing: configurations are answered from a recording, the others by its surrogate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pruning_core.config import PruningConfig
from reports.records import NetworkScores
from search.backend import Facts, PruningBackend, TrialPlan
from search.replay.recording import RecordedRun, Recording
from search.replay.surrogate import Surrogate
from spaces import Value, to_plain

__all__ = ["ReplayBackend"]


class ReplayBackend:
    """Answers at once with what a run scored, and how many seconds it took.

    Shared stages are no part of a recording: trials have none, and what is compared is the time of the trials.

    Args:
        recording: What is known.
        surrogate: Answers for configurations that were not recorded; None: asking for one is an error.
    """

    def __init__(self, recording: Recording, surrogate: Surrogate | None) -> None:
        self._recording = recording
        self._names = tuple(recording.spec.space.distributions)
        self._known = {_spell(run.values): run for run in recording.runs}
        self._surrogate = surrogate
        self._answered = lru_cache(maxsize=4096)(self._answer)

    def describe(self, config: PruningConfig) -> Facts:
        """Say what the dense network costs."""
        scores = next(iter(self._recording.runs[0].scores.values()))
        return {
            "dataset": config.dataset.name,
            "architecture": config.architecture.name,
            "dense.macs": scores.dense_macs,
            "dense.params": scores.dense_params,
        }

    def sweep(self) -> None:
        """Nothing is ever written."""

    def plan(self, config: PruningConfig) -> TrialPlan:
        """Take the fields that vary for the key."""
        key = hashlib.sha256(self._spelling_of(config).encode()).hexdigest()[:24]
        return TrialPlan(trial_key=key, stages=())

    def check(self, config: PruningConfig) -> None:
        """Take every configuration of the recorded space for feasible."""

    def has_artifact(self, key: str) -> bool:
        """Nothing is kept."""
        raise AssertionError(f"a replay has no stages, but was asked for {key}")

    def run_stage(self, name: str, config: PruningConfig) -> None:
        """There are no shared stages."""
        raise AssertionError(f"a replay has no stages, but was asked to run {name} of {config.method}")

    def run_rung(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        """Answer for a rung."""
        return self._result(config, epochs)

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        """Answer for the end."""
        return self._result(config, self._recording.epochs[-1])

    def scores(self, config: PruningConfig, epochs: int) -> NetworkScores:
        """Return what a configuration scores at one of the recorded epochs."""
        return self._run_of(config).scores[epochs]

    def seconds(self, config: PruningConfig, until: int | None) -> float:
        """Return how long a configuration trained from its beginning until some epochs; None: to the end."""
        return self._run_of(config).seconds[until or self._recording.epochs[-1]]

    def _run_of(self, config: PruningConfig) -> RecordedRun:
        return self._answered(self._spelling_of(config))

    def _answer(self, spelling: str) -> RecordedRun:
        known = self._known.get(spelling)
        if known is not None:
            return known
        if self._surrogate is None:
            raise AssertionError(
                f"without a surrogate all configurations must be recorded, but {spelling} is not"
            )
        return self._surrogate.run(json.loads(spelling))

    def _spelling_of(self, config: PruningConfig) -> str:
        plain = to_plain(config)
        return _spell({name: _value_at(plain, name) for name in self._names})

    def _result(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        run = self._run_of(config)
        scores = run.scores[epochs]
        return {
            **scores.model_dump(mode="json"),
            "trial_key": self.plan(config).trial_key,
            "limits": {},
            "kept": {},
            "stage_seconds": {"fine_tune": run.seconds[epochs]},
            "cached_stages": (),
            "artifact_keys": {},
            "peak_memory_mb": None,
            "stage_peak_memory_mb": {},
            "stage_peak_gpu_memory_mb": {},
        }


def _spell(values: Mapping[str, Value]) -> str:
    return json.dumps(dict(values), sort_keys=True)


def _value_at(plain: Mapping[str, Any], name: str) -> Value:
    value: Any = plain
    for part in name.split("."):
        value = value[part]
    found: Value = value
    return found


if TYPE_CHECKING:

    def _conforms(backend: ReplayBackend) -> PruningBackend:
        return backend
