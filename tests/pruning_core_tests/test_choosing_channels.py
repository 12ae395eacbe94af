"""Choosing channels: interrupted, and with nothing to remove (oracle 17 of importance)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.config import MethodName
from pruning_core.data import DataSplits
from pruning_core.methods import allocators
from pruning_core.stages import ArtifactStore, plan_run, run_stage, run_trial
from tests.pruning_core_tests.test_pipeline import ONE_OF_EACH_KIND, quick

FEW: dict[str, Any] = {"steps": 2, "batch_size": 32, "num_images": 64}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """Shared by the module: the dense network and the saliency networks are built once."""
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize(
    ("choosing", "changes"),
    [
        ("steer", {}),
        ("allocate", {"method": "task_inspired", "importance": {"allocation": "task_loss"}}),
    ],
)
def test_an_interrupted_choice_of_channels_ends_as_an_undisturbed_one(
    choosing: str,
    changes: dict[str, Any],
    tiny_data: DataSplits,
    store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle 17 of importance."""
    monkeypatch.setattr(allocators, "TASK_LOSS_STEPS", 20)
    config = quick(seed=17, **changes)
    seen: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage == choosing and done >= total // 2:
            seen.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(config, data=tiny_data, store=store, report=kill)
    assert seen
    key = plan_run(config, tiny_data.fingerprint).key_of(choosing)
    assert not store.has(key)
    run_stage(choosing, config, data=tiny_data, store=store)
    other = ArtifactStore(Path(store.address) / "undisturbed")
    for node in plan_run(config, tiny_data.fingerprint).nodes:
        found = store.get(node.key)
        if node.key != key and found is not None:
            other.put(node.key, found)
    run_stage(choosing, config, data=tiny_data, store=other)
    after, undisturbed = store.get(key), other.get(key)
    assert after is not None
    assert undisturbed is not None
    assert after.facts["kept"] == undisturbed.facts["kept"]
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in undisturbed.tensors.items())


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_budgets_of_the_whole_network_give_the_dense_network_bit_by_bit(
    method: MethodName, tiny_data: DataSplits, store: ArtifactStore
) -> None:
    """Oracle 17 of importance: nothing to remove changes nothing."""
    config = quick(
        method=method, budgets={"macs": 1.0, "params": 1.0}, gates={"network_weights": "frozen", **FEW}
    )
    result = run_trial(config, data=tiny_data, store=store)
    assert all(kept == dense for kept, dense in result.kept.values())
    assert result.num_correct_after_removal == result.num_correct_dense
    if method == MethodName.INTERPRETATION_STEERED:
        facts = store.facts(result.artifact_keys["steer"])
        assert facts is not None
        assert facts["gated"] == {"explanation_distance": 0.0, "explanation_similarity": pytest.approx(1.0)}
