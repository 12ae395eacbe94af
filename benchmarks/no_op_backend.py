"""A pruning backend whose trials take no time: what is left of a search is what the search itself costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pruning_core.config import PruningConfig
from search.backend import BackendSettings, Facts, PruningBackend, TrialPlan

__all__ = ["FACTORY", "NoOpBackend", "create"]

FACTORY = "benchmarks.no_op_backend:create"
_DENSE_MACS, _DENSE_PARAMS, _NUM_IMAGES = 40_813_184, 272_474, 5000
_MOST_BAD_LUCK = 0.1


class NoOpBackend:
    """Answers by a formula: accuracy falls with the shares of MACs and params that are taken away, and with bad luck.

    Each configuration has luck of its own, so that not every one is on the front.
    """

    def describe(self, config: PruningConfig) -> Facts:
        """Say what the dense network costs."""
        return {
            "dataset": config.dataset.name,
            "architecture": config.architecture.name,
            "dense.macs": _DENSE_MACS,
            "dense.params": _DENSE_PARAMS,
        }

    def sweep(self) -> None:
        """Nothing is ever written."""

    def plan(self, config: PruningConfig) -> TrialPlan:
        """Take all settings for the key; there are no shared stages."""
        text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
        return TrialPlan(trial_key=hashlib.sha256(text.encode()).hexdigest()[:24], stages=())

    def check(self, config: PruningConfig) -> None:
        """Take every configuration for feasible."""

    def has_artifact(self, key: str) -> bool:
        """Nothing is kept."""
        raise AssertionError(f"there are no stages, but was asked for {key}")

    def run_stage(self, name: str, config: PruningConfig) -> None:
        """There are no shared stages."""
        raise AssertionError(f"there are no stages, but was asked to run {name} of {config.method}")

    def run_rung(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        """Answer for a rung as for the end, a little worse."""
        return self._result(config, 1 - 0.1**epochs)

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        """Answer for the end."""
        return self._result(config, 1.0)

    def _result(self, config: PruningConfig, progress: float) -> Mapping[str, Any]:
        shares = [
            1.0 if budget is None or budget.share is None else budget.share
            for budget in (config.budgets.macs, config.budgets.params)
        ]
        key = self.plan(config).trial_key
        bad_luck = _MOST_BAD_LUCK * int(key[:8], 16) / 0xFFFFFFFF
        accuracy = progress * (0.92 - bad_luck - 0.15 * sum((1 - share) ** 3 for share in shares))
        return {
            "num_images": _NUM_IMAGES,
            "num_correct_dense": round(0.92 * _NUM_IMAGES),
            "num_correct_after_removal": _NUM_IMAGES // 10,
            "num_correct_fine_tuned": round(accuracy * _NUM_IMAGES),
            "macs": int(shares[0] * _DENSE_MACS),
            "params": int(shares[1] * _DENSE_PARAMS),
            "dense_macs": _DENSE_MACS,
            "dense_params": _DENSE_PARAMS,
            "trial_key": key,
            "limits": {},
            "kept": {},
            "stage_seconds": {"fine_tune": 0.0},
            "cached_stages": (),
            "artifact_keys": {},
            "peak_memory_mb": None,
            "stage_peak_memory_mb": {},
            "stage_peak_gpu_memory_mb": {},
        }


def create(settings: BackendSettings) -> NoOpBackend:  # noqa: ARG001 - as every backend is made
    """Make the backend of one process."""
    return NoOpBackend()


if TYPE_CHECKING:
    _: PruningBackend = NoOpBackend()
