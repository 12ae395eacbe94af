"""A pruning backend without training: analytic scores, milliseconds of sleep, and failures on request.

What happens is read from the configuration:

* a trial sleeps ``gates.steps`` ms, a shared stage ``saliency.selector.epochs`` x 10 ms;
* after each epoch of ``fine_tuning`` half of the way to the final accuracy is left;
* ``seed`` chooses a disaster (`CRASHES`, ...);
* ``budgets.macs`` below `MINIMUM_SHARE` are infeasible.

Everything that really runs is logged, so that tests can see what ran twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning_core.config import PruningConfig
from pruning_core.errors import InfeasibleBudgetsError, NonFiniteLossError, StorageError
from search.backend import BackendSettings, Facts, PruningBackend, TrialPlan
from search.work_items import PlannedStage

FACTORY = "tests.search_tests.synthetic_backend:create"
DENSE_MACS, DENSE_PARAMS, NUM_IMAGES = 1_000_000, 100_000, 400
MINIMUM_SHARE = 0.2
CRASHES, BUG, NOT_A_NUMBER, KILLS_WORKER, FULL_DISK, BROKEN_SELECTOR = 901, 902, 903, 904, 905, 906
CRASHES_AT_THE_END, OUT_OF_MEMORY, NO_ROOM_AT_FIRST = 907, 908, 909
LARGEST_BATCH = 40  # that there is memory for, with the last of them


class SyntheticBackend:
    def __init__(self, settings: BackendSettings) -> None:
        self._root = Path(settings.artifacts)

    def describe(self, config: PruningConfig) -> Facts:
        return {
            "dataset": config.dataset.name,
            "dataset.fingerprint": _key("data", config.dataset.name),
            "architecture": config.architecture.name,
            "dense.macs": DENSE_MACS,
            "dense.params": DENSE_PARAMS,
        }

    def sweep(self) -> None:
        for path in self._root.glob("partial-*"):
            path.unlink()

    def plan(self, config: PruningConfig) -> TrialPlan:
        plain = config.model_dump(mode="json")
        dense = PlannedStage(name="dense", key=_key("dense", plain["dense_seed"]))
        predictor = PlannedStage(
            name="predictor", key=_key(dense.key, config.saliency.max_num_basis), parents=(dense.key,)
        )
        broken = config.seed if config.seed == BROKEN_SELECTOR else 0
        selector = PlannedStage(
            name="selector",
            key=_key(predictor.key, config.saliency.num_basis, broken),
            parents=(dense.key, predictor.key),
        )
        return TrialPlan(trial_key=_key("trial", plain), stages=(dense, predictor, selector))

    def check(self, config: PruningConfig) -> None:
        if _share(config) < MINIMUM_SHARE:
            raise InfeasibleBudgetsError(
                f"budgets.macs must be at least {MINIMUM_SHARE}, but got {_share(config)}"
            )

    def has_artifact(self, key: str) -> bool:
        return (self._root / key).exists()

    def run_stage(self, name: str, config: PruningConfig) -> None:
        key = next(stage.key for stage in self.plan(config).stages if stage.name == name)
        if self.has_artifact(key):
            return
        time.sleep(config.saliency.selector.epochs / 100)
        if name == "selector" and config.seed == BROKEN_SELECTOR:
            raise NonFiniteLossError("the loss of stage 'selector' must be finite, but got nan")
        if name == "dense" and config.seed == NO_ROOM_AT_FIRST and not (self._root / "starved").exists():
            self._root.mkdir(parents=True, exist_ok=True)
            (self._root / "starved").touch()
            raise MemoryError("others use it")
        self._finish(key)

    def run_rung(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        assert 1 <= epochs < config.fine_tuning.epochs
        return self._run(config, epochs)

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        return self._run(config, None)

    def _run(self, config: PruningConfig, epochs: int | None) -> Mapping[str, Any]:
        plan = self.plan(config)
        key = plan.trial_key if epochs is None else f"{plan.trial_key}-{epochs}"
        missing = [stage.name for stage in plan.stages if not self.has_artifact(stage.key)]
        assert not missing, f"shared stages {missing} must exist before a trial starts"
        was_finished = self.has_artifact(key)
        if not was_finished:
            time.sleep(config.gates.steps / 1000)
            self._misbehave(config, key)
            self._finish(key)
        share = _share(config)
        correct = NUM_IMAGES * (0.9 - 0.3 * (1 - share) ** 2 - 0.01 * abs(config.saliency.num_basis - 2))
        if epochs is not None:
            correct *= 1 - 0.5**epochs
        return {
            "trial_key": plan.trial_key,
            "num_images": NUM_IMAGES,
            "num_correct_dense": 370,
            "num_correct_after_removal": 100,
            "num_correct_fine_tuned": round(correct),
            "macs": int(share * DENSE_MACS),
            "params": int(share * DENSE_PARAMS),
            "dense_macs": DENSE_MACS,
            "dense_params": DENSE_PARAMS,
            "limits": {"macs": int(share * DENSE_MACS)},
            "kept": {"conv1": [max(1, round(share * 16)), 16]},
            "explanation_distance": math.nan if config.seed == NOT_A_NUMBER else 0.25,
            "explanation_similarity": 0.5,
            "selector_agreement": 0.9,
            "mask_area": 0.3,
            "stage_seconds": {
                "dense": 1.0,
                "predictor": 1.0,
                "selector": 1.0,
                "steer": 0.5,
                "fine_tune": 0.25,
            },
            "cached_stages": ["dense", "predictor", "selector", *(["steer"] if was_finished else [])],
            "artifact_keys": {"fine_tune": key},
            "peak_memory_mb": 100.0,
            "stage_peak_memory_mb": {"dense": 90.0, "steer": 100.0},
            "stage_peak_gpu_memory_mb": {},
        }

    def _misbehave(self, config: PruningConfig, key: str) -> None:
        if config.seed == CRASHES:
            raise NonFiniteLossError("the loss of stage 'steer' must be finite, but got nan")
        if config.seed == CRASHES_AT_THE_END and key == self.plan(config).trial_key:
            raise NonFiniteLossError("the loss of stage 'fine_tune' must be finite, but got nan")
        if config.seed == OUT_OF_MEMORY and config.fine_tuning.batch_size > LARGEST_BATCH:
            raise MemoryError("as much as that is not there")
        if config.seed == BUG:
            raise RuntimeError("a bug\nwith a second line")
        if config.seed == FULL_DISK:
            raise StorageError("the disk must have room for the results, but is full; free some and resume")
        if config.seed == KILLS_WORKER:
            self._log(f"died {key}")
            os.kill(os.getpid(), signal.SIGKILL)

    def _finish(self, key: str) -> None:
        self._log(f"ran {key}")
        self._root.mkdir(parents=True, exist_ok=True)
        (self._root / key).touch()

    def _log(self, text: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / "runs.log").open("a") as file:
            file.write(f"{text}\n")


def create(settings: BackendSettings) -> SyntheticBackend:
    return SyntheticBackend(settings)


def times_run(artifacts: Path) -> Counter[str]:
    """Return how often each stage and trial ran to its end, by key."""
    log = artifacts / "runs.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.split()[1] for line in lines if line.startswith("ran "))


def _share(config: PruningConfig) -> float:
    assert config.budgets.macs is not None
    assert config.budgets.macs.share is not None
    return config.budgets.macs.share


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


if TYPE_CHECKING:
    _: PruningBackend = SyntheticBackend(BackendSettings(factory="", artifacts=""))
