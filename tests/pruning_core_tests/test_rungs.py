"""Trainings that pause at rungs: they must end in the network that they would have given in one go, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.config import PruningConfig, TrainingConfig, load_config
from pruning_core.data import Augmentation, DataSplits
from pruning_core.errors import InvalidSettingsError
from pruning_core.stages import Artifact, ArtifactStore, RunResult, plan_run, run_rung, run_trial
from pruning_core.stages.rungs import rung_key
from pruning_core.training import Teacher, train_classifier
from tests.pruning_core_tests.test_pipeline import QUICK
from tests.synthetic import make_data, make_network, same_weights

COST = ("seconds", "peak_memory_mb")


def small_data() -> DataSplits:
    return replace(
        make_data(num_train=48, num_validation=16, num_test=8), augmentation=Augmentation.CROP_FLIP
    )


def with_dropout(seed: int = 0) -> nn.Module:
    network = make_network(seed=seed)
    network.linear = nn.Sequential(nn.Dropout(0.5), nn.Linear(32, 4))
    for parameter in network.linear.parameters():
        nn.init.constant_(parameter, 0.01)
    return network


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.0},
        {"schedule": "step"},
        {"distillation": {"weight": 0.5}},
        {"distillation": {"weight": 0.0, "features": 1.0}},
        {"label_smoothing": 0.1, "warmup_epochs": 3.0},
    ],
)
def test_a_training_that_pauses_twice_ends_where_it_would_have_ended(changes: dict[str, Any]) -> None:
    data, settings = small_data(), TrainingConfig(**({"epochs": 6, "batch_size": 16} | changes))
    whole, teacher = with_dropout(), Teacher(network=make_network(seed=9), layers=("layer1",))
    expected = train_classifier(whole, data, settings, seed=3, teacher=teacher)
    state = None
    for until in (2, 4):
        elsewhere = with_dropout(seed=0 if state is None else until)  # another process has other weights
        torch.rand(until)  # and has drawn other numbers
        history = train_classifier(
            elsewhere, data, settings, seed=3, teacher=teacher, start=state, until=until
        )
        state = history.state
        assert state is not None
        assert state.epochs == until
        assert history.losses == expected.losses[:until]
    last = with_dropout(seed=7)
    ended = train_classifier(last, data, settings, seed=3, teacher=teacher, start=state)
    assert same_weights(last, whole)
    assert ended.losses == expected.losses


def test_what_a_training_goes_on_from_is_not_changed_by_going_on() -> None:
    data, settings = small_data(), TrainingConfig(epochs=3, batch_size=16)
    state = train_classifier(with_dropout(), data, settings, seed=0, until=1).state
    assert state is not None
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    first, second = with_dropout(1), with_dropout(2)
    for network in (first, second):
        train_classifier(network, data, settings, seed=0, start=state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.tensors.items())
    assert same_weights(first, second)


def test_a_pause_leaves_the_global_random_state_alone() -> None:
    network, data, settings = with_dropout(), small_data(), TrainingConfig(epochs=2, batch_size=16)
    before = torch.random.get_rng_state()
    state = train_classifier(network, data, settings, seed=0, until=1).state
    train_classifier(network, data, settings, seed=0, start=state)
    assert torch.equal(torch.random.get_rng_state(), before)


def run_settings(**changes: Any) -> PruningConfig:
    fine_tuning = {"epochs": 6, "batch_size": 16, "distillation": {"weight": 0.5}}
    return load_config({**QUICK, "method": "l1", "fine_tuning": fine_tuning, **changes})


STEERED = {
    "method": "interpretation_steered",
    "recovery": {"reconstruct": True, "num_images": 32},
    "fine_tuning": {"epochs": 6, "batch_size": 16, "distillation": {"weight": 0.5, "features": 1.0}},
}


def artifact(store: ArtifactStore, key: str) -> Artifact:
    found = store.get(key)
    assert found is not None
    return found


def without_costs(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in COST}


def same_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("changes", [{}, STEERED])
def test_a_trial_by_rungs_is_the_trial_in_one_go(tmp_path: Path, changes: dict[str, Any]) -> None:
    data, config = small_data(), run_settings(**changes)
    direct, climbing = ArtifactStore(tmp_path / "direct"), ArtifactStore(tmp_path / "climbing")
    expected = run_trial(config, data=data, store=direct)
    for epochs in (2, 4):
        so_far = run_rung(config, epochs, data=data, store=climbing)
        assert so_far.trial_key == expected.trial_key
        assert (so_far.macs, so_far.params, so_far.kept) == (expected.macs, expected.params, expected.kept)
        assert so_far.num_correct_after_removal == expected.num_correct_after_removal
        assert so_far.explanation_similarity is None
        assert not climbing.has(expected.trial_key)
    result = run_trial(config, data=data, store=climbing)
    one, other = (artifact(store, expected.trial_key) for store in (direct, climbing))
    assert same_tensors(one.tensors, other.tensors)
    assert without_costs(one.facts) == without_costs(other.facts)
    assert result.num_correct_fine_tuned == expected.num_correct_fine_tuned
    assert result.artifact_keys == expected.artifact_keys


def test_a_rung_does_not_depend_on_the_rungs_before_it(tmp_path: Path) -> None:
    data, config = small_data(), run_settings()
    stores = [ArtifactStore(tmp_path / name) for name in ("one", "two")]
    run_rung(config, 1, data=data, store=stores[0])
    results = [run_rung(config, 4, data=data, store=store) for store in stores]
    rungs = [artifact(store, rung_key(results[0].trial_key, 4)) for store in stores]
    assert same_tensors(rungs[0].tensors, rungs[1].tensors)
    assert without_costs(rungs[0].facts) == without_costs(rungs[1].facts)


def test_a_rung_s_accuracy_is_that_of_the_network_at_its_epoch(tmp_path: Path) -> None:
    data = small_data()
    constant = {"epochs": 4, "batch_size": 16, "schedule": "constant", "warmup_epochs": 0}
    config, short = (run_settings(fine_tuning=constant | {"epochs": epochs}) for epochs in (4, 2))
    store = ArtifactStore(tmp_path)
    ended = run_trial(short, data=data, store=store)  # without a schedule, two epochs are two epochs
    assert run_rung(config, 2, data=data, store=store).num_correct_fine_tuned == ended.num_correct_fine_tuned


def steps_of(config: PruningConfig, store: ArtifactStore, epochs: int | None = None) -> list[int]:
    """Run a trial, or up to a rung; return after which steps of fine-tuning it reported."""
    seen: list[int] = []

    def report(stage: str, done: int, total: int) -> None:
        if stage == "fine_tune":
            assert total == 18
            seen.append(done)

    if epochs is None:
        run_trial(config, data=small_data(), store=store, report=report)
    else:
        run_rung(config, epochs, data=small_data(), store=store, report=report)
    return seen


def test_an_interrupted_trial_goes_on_from_its_last_rung(tmp_path: Path) -> None:
    config, store = run_settings(), ArtifactStore(tmp_path)
    assert steps_of(config, store, 2) == [3, 6]
    assert steps_of(config, store, 2) == []
    assert steps_of(config, store, 3) == [9]
    assert steps_of(config, store, 1) == [3]  # a rung before the last one is made from the beginning
    assert steps_of(config, store) == [12, 15, 18]


def test_a_trial_costs_what_its_parts_cost(tmp_path: Path) -> None:
    data, config, store = small_data(), run_settings(), ArtifactStore(tmp_path)

    def cost(result: RunResult) -> float:
        return result.stage_seconds["fine_tune"]

    first = run_rung(config, 2, data=data, store=store)
    second = run_rung(config, 4, data=data, store=store)
    whole = run_trial(config, data=data, store=store)
    assert 0 < cost(first) < cost(second) < cost(whole)
    assert run_trial(config, data=data, store=store).stage_seconds == whole.stage_seconds
    assert "continued" not in artifact(store, whole.trial_key).facts


@pytest.mark.parametrize("epochs", [0, 6, 7, -1])
def test_a_rung_must_lie_inside_the_training(tmp_path: Path, epochs: int) -> None:
    with pytest.raises(
        InvalidSettingsError, match=f"a rung must be at 1 to 5 of the 6 epochs .*, but got {epochs}"
    ):
        run_rung(run_settings(), epochs, data=small_data(), store=ArtifactStore(tmp_path))


def test_rungs_of_different_trials_and_epochs_have_different_keys() -> None:
    data = small_data()
    keys = [plan_run(run_settings(seed=seed), data.fingerprint).trial_key for seed in (0, 1)]
    rungs = [rung_key(key, epochs) for key in keys for epochs in (1, 2, 3)]
    assert len({*rungs, *keys}) == 8
