"""Trainings that are killed between two epochs: they go on there, end in the same network, and leave nothing behind."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from pruning_core.config import PruningConfig
from pruning_core.errors import StorageError
from pruning_core.stages import ArtifactStore, RunResult, checkpoints, plan_run, run_rung, run_trial
from pruning_core.stages.context import StageContext
from tests.pruning_core_tests.test_rungs import (
    STEERED,
    artifact,
    run_settings,
    same_tensors,
    small_data,
    without_costs,
)

STEPS_PER_EPOCH = {"dense": 1, "fine_tune": 3}
NUM_EPOCHS = {"dense": 3, "fine_tune": 6}
SALIENCY: dict[str, Any] = {
    **STEERED,
    "saliency": {
        "max_num_basis": 2,
        "predictor": {"epochs": 4, "batch_size": 16},
        "selector": {"epochs": 4, "batch_size": 16},
    },
}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint after every epoch."""
    monkeypatch.setattr(checkpoints, "_EVERY_S", 0.0)


def epochs_of(
    config: PruningConfig, store: ArtifactStore, wanted: str, *, killed_in: int | None = None
) -> list[int]:
    """Run a trial; return which epochs of a stage were trained, the one in which the process was killed last."""
    seen: list[int] = []

    def report(stage: str, done: int, total: int) -> None:
        if stage != wanted:
            return
        assert total == STEPS_PER_EPOCH[stage] * NUM_EPOCHS[stage]
        seen.append(done // STEPS_PER_EPOCH[stage])
        if seen[-1] == killed_in:
            raise KilledError

    try:
        run_trial(config, data=small_data(), store=store, report=report)
    except KilledError:
        return seen
    assert killed_in is None
    return seen


def kept_in(folder: Path) -> set[str]:
    """Return the keys of all artifacts in a folder."""
    return {path.name for path in folder.glob("v1/*/*")}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("stage", "changes"), [("dense", {}), ("fine_tune", {}), ("fine_tune", STEERED)])
def test_a_killed_training_goes_on_and_gives_what_it_would_have_given(
    tmp_path: Path, stage: str, changes: dict[str, Any]
) -> None:
    config = run_settings(**changes)
    whole, killed = (ArtifactStore(tmp_path / name) for name in ("whole", "killed"))
    last = NUM_EPOCHS[stage]
    assert epochs_of(config, whole, stage) == list(range(1, last + 1))
    assert epochs_of(config, killed, stage, killed_in=2) == [1, 2]
    assert epochs_of(config, killed, stage, killed_in=3) == [2, 3]  # the second was not over
    assert epochs_of(config, killed, stage) == list(range(3, last + 1))
    key = plan_run(config, small_data().fingerprint).key_of(stage)
    one, other = (artifact(store, key) for store in (whole, killed))
    assert same_tensors(one.tensors, other.tensors)
    assert without_costs(one.facts) == without_costs(other.facts)
    assert kept_in(tmp_path / "killed") == kept_in(tmp_path / "whole")


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("wanted", ["predictor", "selector"])
def test_a_killed_saliency_network_goes_on_from_its_last_epoch(tmp_path: Path, wanted: str) -> None:
    config, data = run_settings(**SALIENCY), small_data()
    whole, killed = (ArtifactStore(tmp_path / name) for name in ("whole", "killed"))
    steps: list[int] = []

    def report_until(killed_at: int | None, store: ArtifactStore) -> list[int]:
        steps.clear()

        def report(stage: str, done: int, total: int) -> None:
            if stage == wanted:
                assert total == 12, "three batches in each of four epochs"
                steps.append(done)
                if done == killed_at:
                    raise KilledError

        with contextlib.suppress(KilledError):
            run_trial(config, data=data, store=store, report=report)
        return list(steps)

    assert report_until(None, whole) == list(range(1, 13))
    assert report_until(5, killed) == [1, 2, 3, 4, 5]
    assert report_until(11, killed) == list(range(4, 12))
    assert report_until(None, killed) == [10, 11, 12]
    for name in (wanted, "explanations"):
        key = plan_run(config, data.fingerprint).key_of(name)
        one, other = (artifact(store, key) for store in (whole, killed))
        assert same_tensors(one.tensors, other.tensors)
        assert without_costs(one.facts) == without_costs(other.facts)
    assert kept_in(tmp_path / "killed") == kept_in(tmp_path / "whole")


@pytest.mark.usefixtures("often")
def test_one_checkpoint_at_a_time_is_kept(tmp_path: Path) -> None:
    config, store = run_settings(), ArtifactStore(tmp_path)
    finished = len(plan_run(config, small_data().fingerprint).nodes) - 1
    epochs_of(config, store, "fine_tune", killed_in=5)
    assert len(kept_in(tmp_path)) == finished + 1


def test_a_short_training_writes_none(tmp_path: Path) -> None:
    config, store = run_settings(), ArtifactStore(tmp_path)
    assert epochs_of(config, store, "dense", killed_in=3) == [1, 2, 3]
    assert kept_in(tmp_path) == set()
    assert epochs_of(config, store, "dense") == [1, 2, 3]


@pytest.mark.usefixtures("often")
def test_a_training_costs_what_its_parts_cost(tmp_path: Path) -> None:
    config, store = run_settings(), ArtifactStore(tmp_path)
    epochs_of(config, store, "fine_tune", killed_in=4)
    (key,) = kept_in(tmp_path) - {
        node.key for node in plan_run(config, small_data().fingerprint).nodes if store.has(node.key)
    }
    before = artifact(store, key).facts["seconds"]
    result: RunResult = run_trial(config, data=small_data(), store=store)
    assert result.stage_seconds["fine_tune"] > before > 0
    assert "continued" not in artifact(store, result.trial_key).facts


@pytest.mark.usefixtures("often")
def test_a_rung_goes_on_from_a_checkpoint_before_it_and_a_trial_from_the_rung(tmp_path: Path) -> None:
    config, data = run_settings(), small_data()
    climbing, direct = (ArtifactStore(tmp_path / name) for name in ("climbing", "direct"))
    epochs_of(config, climbing, "fine_tune", killed_in=3)
    seen: list[int] = []

    def report(stage: str, done: int, total: int) -> None:
        seen.extend([NUM_EPOCHS[stage] * done // total] if stage == "fine_tune" else [])

    run_rung(config, 4, data=data, store=climbing, report=report)
    run_trial(config, data=data, store=climbing, report=report)
    assert seen == [3, 4, 5, 6]
    key = run_trial(config, data=data, store=direct).trial_key
    assert same_tensors(artifact(climbing, key).tensors, artifact(direct, key).tensors)
    assert len(kept_in(tmp_path / "climbing")) == len(kept_in(tmp_path / "direct")) + 1  # the rung stays


@pytest.mark.usefixtures("often")
def test_a_process_that_does_not_see_the_others_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, store, data = run_settings(), ArtifactStore(tmp_path), small_data()
    context = StageContext(
        config=config,
        plan=plan_run(config, data.fingerprint),
        data=data,
        store=store,
        device="cpu",
        report=lambda *_: None,
    )
    assert checkpoints.latest_state(context, "dense", until=2) is None
    monkeypatch.setattr(type(context.processes), "agree", lambda *_, **__: True)  # the first one sees it
    with pytest.raises(StorageError, match="must be one that all processes see, but process 0"):
        checkpoints.latest_state(context, "dense", until=2)
