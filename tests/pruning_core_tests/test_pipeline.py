"""A whole pruning run on small data, by every method (oracles 26 to 29)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from pruning_core.architectures import build_network
from pruning_core.channels import count_activation_memory, count_cost
from pruning_core.config import MethodName, PruningConfig, load_config
from pruning_core.data import DataSplits, iterate_batches
from pruning_core.data.images import Normalisation
from pruning_core.errors import InfeasibleBudgetsError, StorageError, UnsupportedNetworkError
from pruning_core.latency.table import write_latency_table
from pruning_core.stage_graphs import STAGES_OF_METHOD, stages_of
from pruning_core.stages import (
    ArtifactStore,
    RunResult,
    evaluate_on_test,
    load_dense_network,
    load_slim_network,
    plan_run,
    preflight,
    run_stage,
    run_trial,
)
from tests.pruning_core_tests.latency_tables import table_for
from tests.synthetic import same_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper_cifar10_resnet56.yaml"
QUICK: dict[str, Any] = {
    "architecture": {"name": "cifar_resnet8", "width": 0.5},
    "dense_training": {"epochs": 3, "batch_size": 32},
    "budgets": {"macs": 0.6, "params": 0.7},
    "saliency": {
        "max_num_basis": 2,
        "predictor": {"epochs": 1, "batch_size": 32},
        "selector": {"epochs": 1, "batch_size": 32},
    },
    "gates": {"steps": 20, "batch_size": 32, "num_images": 64, "learning_rate": 0.2},
    "importance": {"num_images": 64, "num_positions": 256},
    "fine_tuning": {"epochs": 2, "batch_size": 32, "distillation": {"weight": 0.5}},
}


ONE_OF_EACH_KIND = (MethodName.INTERPRETATION_STEERED, MethodName.TASK_INSPIRED, MethodName.L1)
"""Methods that between them run every stage."""


def quick(**changes: Any) -> PruningConfig:
    return load_config({**QUICK, **changes})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """Shared by the module: the dense network and the saliency networks are built once."""
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def measured(result: RunResult) -> dict[str, Any]:
    plain = result.to_plain()
    for name in ("stage_seconds", "cached_stages", "peak_memory_mb", "stage_peak_memory_mb"):
        del plain[name]
    return plain


@pytest.mark.parametrize(
    ("method", "scope"),
    [*((method, "all") for method in MethodName), *((method, "inner") for method in ONE_OF_EACH_KIND)],
)
def test_every_method_meets_its_budgets_and_reports_what_it_did(
    method: MethodName, scope: str, tiny_data: DataSplits, store: ArtifactStore
) -> None:
    config = quick(method=method, channels={"scope": scope})
    result = run_trial(config, data=tiny_data, store=store)
    assert result.macs <= result.limits["macs"] == int(0.6 * result.dense_macs)
    assert result.params <= result.limits["params"] == int(0.7 * result.dense_params)
    assert list(result.stage_seconds) == list(stages_of(method))
    assert result.num_images == len(tiny_data.validation)
    assert 0 <= result.accuracy <= 1
    slim = load_slim_network(config, data=tiny_data, store=store)
    cost = count_cost(slim, tiny_data.input_shape)
    assert (cost.macs, cost.params) == (result.macs, result.params)
    steered = method is MethodName.INTERPRETATION_STEERED
    assert (result.explanation_similarity is not None) == steered
    if result.explanation_similarity is not None:
        assert 0 < result.explanation_similarity <= 1


def test_task_inspired_keeps_which_detectors_of_which_classes_it_removed(
    tiny_data: DataSplits, store: ArtifactStore
) -> None:
    result = run_trial(quick(method=MethodName.TASK_INSPIRED), data=tiny_data, store=store)
    chosen = store.get(result.artifact_keys["allocate"])
    assert chosen is not None
    coverage = chosen.facts["class_coverage"]
    assert set(coverage) == {"removed_detectors", "lost_by_group", "warnings"}
    assert coverage["removed_detectors"]
    for group, channels in coverage["removed_detectors"].items():
        assert not {int(channel) for channel in channels} & set(chosen.facts["kept"][group])
        assert all(1 <= len(names) <= 3 for names in channels.values())
        assert {name for names in channels.values() for name in names} <= set(tiny_data.class_names)
    assert chosen.facts["floors"] == {"wished": {}, "held": {}}  # an addition couples this network's stem


@pytest.mark.parametrize("method", [MethodName.INTERPRETATION_STEERED, MethodName.TASK_INSPIRED])
def test_budgets_on_memory_and_latency_are_met_and_recorded(
    method: MethodName, tiny_data: DataSplits, store: ArtifactStore, tmp_path: Path
) -> None:
    dense = build_network(
        quick().architecture, num_classes=tiny_data.num_classes, in_channels=tiny_data.in_channels
    )
    write_latency_table(table_for(dense, tiny_data.input_shape), tmp_path / "table.json")
    config = quick(
        method=method,
        channels={"scope": "all", "round_to": 1},
        budgets={"activation_memory": 0.7, "latency_ms": 0.95},
        latency_table=str(tmp_path / "table.json"),
    )
    result = run_trial(config, data=tiny_data, store=store)
    assert result.activation_memory is not None
    assert result.dense_activation_memory is not None
    assert result.latency_ms is not None
    assert result.dense_latency_ms is not None
    assert set(result.limits) == {"activation_memory", "latency_ms"}
    assert (
        result.activation_memory
        <= result.limits["activation_memory"]
        == int(0.7 * result.dense_activation_memory)
    )
    assert result.latency_ms <= result.limits["latency_ms"] <= 0.95 * result.dense_latency_ms
    slim = load_slim_network(config, data=tiny_data, store=store)
    assert count_activation_memory(slim, tiny_data.input_shape) == result.activation_memory
    chosen = store.get(list(result.artifact_keys.values())[-2])
    assert chosen is not None
    assert chosen.facts["budget_use"]["activation_memory"] == (
        result.activation_memory / result.limits["activation_memory"]
    )


def test_the_published_settings_run_and_meet_the_published_budget(
    tiny_data: DataSplits, store: ArtifactStore
) -> None:
    """The example of the paper as it stands, on small data and a small network of its kind, for fewer steps."""
    run = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["run"]
    smaller = {
        "architecture": {"name": "cifar_resnet8", "width": 0.5, "shortcut": "zero_pad"},
        "dense_training": {**run["dense_training"], **QUICK["dense_training"]},
        "saliency": {
            **run["saliency"],
            "predictor": {**run["saliency"]["predictor"], "epochs": 1},
            "selector": {**run["saliency"]["selector"], "epochs": 1},
        },
        "gates": {**run["gates"], "steps": 20, "num_images": 64},
        "fine_tuning": {**run["fine_tuning"], "epochs": 1},
    }
    config = load_config({**run, "dataset": {}, **smaller})
    assert config.gates.network_weights == "frozen"
    result = run_trial(config, data=tiny_data, store=store)
    assert result.block_macs is not None
    assert result.dense_block_macs is not None
    assert result.block_macs <= result.limits["block_macs"] == int(0.5 * result.dense_block_macs)


def test_gates_that_start_from_an_importance_run_its_stages_and_keep_other_channels(
    tiny_data: DataSplits, store: ArtifactStore
) -> None:
    config = quick(gates={**QUICK["gates"], "prior": "task_inspired"})
    result = run_trial(config, data=tiny_data, store=store)
    assert {"importance", "sensitivity", "steer"} <= set(result.stage_seconds)
    assert result.macs <= result.limits["macs"]
    again = run_trial(quick(method="task_inspired"), data=tiny_data, store=store)
    assert {"importance", "sensitivity"} <= set(again.cached_stages)


def test_weights_trained_along_with_gates_are_what_the_slim_network_starts_from(
    tiny_data: DataSplits, store: ArtifactStore
) -> None:
    config = quick(gates={**QUICK["gates"], "network_weights": "joint", "budget_term": "exact"})
    result = run_trial(config, data=tiny_data, store=store)
    assert result.macs <= result.limits["macs"]
    plan = plan_run(config, tiny_data.fingerprint)
    dense, steered = store.get(plan.key_of("dense")), store.get(plan.key_of("steer"))
    assert dense is not None
    assert steered is not None
    assert {name: tensor.shape for name, tensor in steered.tensors.items()} == {
        name: tensor.shape for name, tensor in dense.tensors.items()
    }
    moved = [name for name, tensor in steered.tensors.items() if not torch.equal(tensor, dense.tensors[name])]
    assert "conv1.weight" in moved or len(moved) > len(steered.tensors) // 2


def test_a_finished_run_is_not_run_again(tiny_data: DataSplits, store: ArtifactStore) -> None:
    config = quick(seed=11)
    first = run_trial(config, data=tiny_data, store=store)
    again = run_trial(config, data=tiny_data, store=store)
    assert again.cached_stages == tuple(STAGES_OF_METHOD[config.method])
    assert "steer" not in first.cached_stages
    assert again.stage_seconds == first.stage_seconds
    assert measured(again) == measured(first)


def test_every_stage_tells_its_peak_memory(tiny_data: DataSplits, store: ArtifactStore) -> None:
    result = run_trial(quick(), data=tiny_data, store=store)
    assert set(result.stage_peak_memory_mb) == set(result.stage_seconds)
    assert min(result.stage_peak_memory_mb.values()) > 50  # what Python and torch alone take
    assert result.stage_peak_gpu_memory_mb == {}
    assert result.peak_memory_mb > 50


def test_artifacts_from_before_peak_memory_was_kept_are_still_used(
    tiny_data: DataSplits, tmp_path: Path
) -> None:
    store, config = ArtifactStore(tmp_path), quick(method=MethodName.L1)
    first = run_trial(config, data=tiny_data, store=store)
    for path in tmp_path.rglob("facts.json"):
        facts = json.loads(path.read_text(encoding="utf-8"))
        del facts["peak_memory_mb"], facts["peak_gpu_memory_mb"]
        path.write_text(json.dumps(facts), encoding="utf-8")
    again = run_trial(config, data=tiny_data, store=store)
    assert again.cached_stages == tuple(first.stage_seconds)
    assert again.stage_peak_memory_mb == {}
    assert measured(again) == measured(first)


def test_the_same_configuration_gives_the_same_network_in_another_store(
    tiny_data: DataSplits, store: ArtifactStore, tmp_path: Path
) -> None:
    config, other = quick(), ArtifactStore(tmp_path)
    first = run_trial(config, data=tiny_data, store=store)
    again = run_trial(config, data=tiny_data, store=other)
    assert measured(first) == measured(again)
    networks = [load_slim_network(config, data=tiny_data, store=where) for where in (store, other)]
    assert same_weights(*networks)


def test_runs_that_differ_in_seed_alone_share_the_dense_and_the_saliency_networks(
    tiny_data: DataSplits, store: ArtifactStore
) -> None:
    first = run_trial(quick(), data=tiny_data, store=store)
    other = run_trial(quick(seed=3), data=tiny_data, store=store)
    shared = ("dense", "predictor", "selector", "explanations")
    assert all(first.artifact_keys[name] == other.artifact_keys[name] for name in shared)
    assert first.artifact_keys["steer"] != other.artifact_keys["steer"]


class Untouchable:
    """Images of a split that nothing may look at."""

    def __init__(self, labels_N: Tensor) -> None:
        self.labels_N = labels_N

    def __len__(self) -> int:
        return len(self.labels_N)

    def read(self, indices_N: Tensor) -> Tensor:
        raise AssertionError(f"a pruning run looked at {len(indices_N)} test images")


def test_all_stages_see_images_by_the_same_normalisation(
    tiny_data: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle 28."""
    used: dict[Normalisation, int] = {}
    apply = Normalisation.apply

    def noted(self: Normalisation, images_NCHW: Tensor) -> Tensor:
        used[self] = used.get(self, 0) + len(images_NCHW)
        return apply(self, images_NCHW)

    monkeypatch.setattr(Normalisation, "apply", noted)
    quicker = {**QUICK["gates"], "steps": 3}
    run_trial(
        quick(gates=quicker, recovery={"reconstruct": True}), data=tiny_data, store=ArtifactStore(tmp_path)
    )
    assert list(used) == [tiny_data.normalisation]
    assert used[tiny_data.normalisation] > 5 * len(tiny_data.train)


def test_no_test_image_is_used_by_any_stage(tiny_data: DataSplits, tmp_path: Path) -> None:
    guarded, store = replace(tiny_data, test=Untouchable(tiny_data.test.labels_N)), ArtifactStore(tmp_path)
    for method in (*ONE_OF_EACH_KIND, MethodName.TAYLOR):
        config = quick(method=method, recovery={"reconstruct": True, "num_images": 64})
        run_trial(config, data=guarded, store=store)
        with pytest.raises(AssertionError, match="looked at"):
            evaluate_on_test(config, data=guarded, store=store)


def test_a_reconstruction_is_measured_beside_the_removal_alone(
    tiny_data: DataSplits, store: ArtifactStore
) -> None:
    def facts_of(**recovery: Any) -> Any:
        result = run_trial(quick(method="l1", recovery=recovery), data=tiny_data, store=store)
        final = store.get(result.trial_key)
        assert final is not None
        counted = final.facts["num_correct_after_reconstruction"]
        assert result.num_correct_after_reconstruction == counted
        assert result.to_plain()["num_correct_after_reconstruction"] == counted
        return final.facts

    plain, refitted = facts_of(), facts_of(reconstruct=True, num_images=64)
    assert (plain["num_correct_after_reconstruction"], plain["reconstruction"]) == (None, [])
    assert refitted["num_correct_after_removal"] == plain["num_correct_after_removal"]
    assert 0 <= refitted["num_correct_after_reconstruction"] <= len(tiny_data.validation)
    assert refitted["reconstruction"]
    assert all(layer["error_after"] < layer["error_before"] for layer in refitted["reconstruction"])


def test_sensitivities_are_measured_once_for_all_budgets(tiny_data: DataSplits, store: ArtifactStore) -> None:
    results = [
        run_trial(
            quick(
                method="l2",
                importance={"allocation": "sensitivity", "num_images": 64},
                budgets={"macs": macs},
            ),
            data=tiny_data,
            store=store,
        )
        for macs in (0.6, 0.7)
    ]
    assert [("sensitivity" in result.cached_stages) for result in results] == [False, True]


def network_without_norms(*, num_classes: int, in_channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


def test_a_method_that_cannot_score_the_network_is_refused_before_training(tiny_data: DataSplits) -> None:
    plain = {"name": "tests.pruning_core_tests.test_pipeline:network_without_norms"}
    with pytest.raises(UnsupportedNetworkError, match="bn_scale needs a batch normalisation"):
        preflight(quick(method="bn_scale", architecture=plain), tiny_data)


def test_the_test_split_is_looked_at_once_and_remembered(tiny_data: DataSplits, store: ArtifactStore) -> None:
    config = quick()
    run_trial(config, data=tiny_data, store=store)
    slim, dense = evaluate_on_test(config, data=tiny_data, store=store)
    assert slim.num_images == dense.num_images == len(tiny_data.test)
    guarded = replace(tiny_data, test=Untouchable(tiny_data.test.labels_N))
    assert evaluate_on_test(config, data=guarded, store=store) == (slim, dense)


def test_a_loaded_network_scores_what_the_run_reported(tiny_data: DataSplits, store: ArtifactStore) -> None:
    config = quick()
    result = run_trial(config, data=tiny_data, store=store)
    slim = load_slim_network(config, data=tiny_data, store=store)
    dense = load_dense_network(config, data=tiny_data, store=store)
    correct = {"slim": 0, "dense": 0}
    with torch.no_grad():
        for batch in iterate_batches(tiny_data.validation, tiny_data.normalisation, batch_size=16):
            correct["slim"] += int((slim(batch.images_NCHW).argmax(1) == batch.labels_N).sum())
            correct["dense"] += int((dense(batch.images_NCHW).argmax(1) == batch.labels_N).sum())
    assert correct == {"slim": result.num_correct_fine_tuned, "dense": result.num_correct_dense}


def test_a_stage_without_its_parents_says_which_one_is_missing(tiny_data: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="stage 'dense' must be finished first"):
        run_stage("predictor", quick(), data=tiny_data, store=ArtifactStore(tmp_path))


def test_budgets_below_the_narrowest_network_are_refused_with_what_can_be_reached(
    tiny_data: DataSplits,
) -> None:
    with pytest.raises(InfeasibleBudgetsError, match="macs"):
        preflight(quick(budgets={"macs": 0.01}), tiny_data)
    found = preflight(quick(), tiny_data)
    assert found.minimum.macs <= found.limits["macs"] <= found.dense.macs  # type: ignore[index]


def test_a_search_that_asks_about_many_budgets_builds_the_network_once(
    tiny_data: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = preflight(quick(budgets={"macs": 0.5}, architecture={"name": "cifar_resnet8"}), tiny_data)
    monkeypatch.delitem(preflight.__globals__, "build_network")
    second = preflight(quick(budgets={"macs": 0.75}, architecture={"name": "cifar_resnet8"}), tiny_data)
    assert (second.dense, second.minimum) == (first.dense, first.minimum)
    assert second.limits["macs"] == pytest.approx(1.5 * first.limits["macs"], rel=1e-4)  # type: ignore[index]


def test_another_scope_reaches_further(tiny_data: DataSplits) -> None:
    inner, everything = (
        preflight(quick(channels={"scope": scope}), tiny_data).minimum.macs for scope in ("inner", "all")
    )
    assert everything < inner
