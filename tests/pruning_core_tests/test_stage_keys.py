"""Which stage keys move when a field of the configuration changes, and which stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pruning_core import stage_keys
from pruning_core.config import MethodName, PruningConfig, load_config
from pruning_core.errors import InvalidCheckpointError, InvalidSettingsError
from pruning_core.stage_graphs import DEFAULT_ALLOCATIONS, STAGES, STAGES_OF_METHOD
from pruning_core.stage_keys import (
    fields_read_by,
    plan_run,
)

STEERED = ("dense", "predictor", "selector", "explanations", "steer", "fine_tune")

# Every leaf of the configuration: another allowed value, and the first stage whose key must move.
# All stages before it must keep their keys, all after it inherit the change.
CHANGES: dict[str, tuple[Any, str]] = {
    "architecture.name": ("cifar_resnet20", "dense"),
    "architecture.weights": ("IMAGENET1K_V1", "dense"),
    "architecture.shortcut": ("zero_pad", "dense"),
    "architecture.width": (0.5, "dense"),
    "dataset.augmentation": ("none", "dense"),
    "dense_training.epochs": (3, "dense"),
    "dense_training.batch_size": (32, "dense"),
    "dense_training.learning_rate": (0.3, "dense"),
    "dense_training.momentum": (0.5, "dense"),
    "dense_training.weight_decay": (0.3, "dense"),
    "dense_training.schedule": ("step", "dense"),
    "dense_training.warmup_epochs": (0.5, "dense"),
    "dense_training.label_smoothing": (0.1, "dense"),
    "dense_training.distillation.weight": (0.7, "dense"),
    "dense_training.distillation.temperature": (5.0, "dense"),
    "dense_training.distillation.features": (2.0, "dense"),
    "dense_seed": (7, "dense"),
    "precision": ("float32", "dense"),
    "saliency.max_num_basis": (8, "predictor"),
    "saliency.anisotropic": (True, "predictor"),
    "saliency.centre_margin": (0.2, "predictor"),
    "saliency.width_range": ((0.1, 0.2), "predictor"),
    "saliency.predictor.epochs": (99, "predictor"),
    "saliency.predictor.batch_size": (32, "predictor"),
    "saliency.predictor.learning_rate": (0.3, "predictor"),
    "saliency.predictor.weight_decay": (0.3, "predictor"),
    "saliency.predictor.mask_temperature": (0.3, "predictor"),
    "saliency.predictor.hard_masks": (True, "predictor"),
    "saliency.predictor.warm_start": (False, "predictor"),
    "saliency.seed": (7, "predictor"),
    "saliency.num_basis": (2, "selector"),
    "saliency.initial_width": (0.2, "selector"),
    "saliency.taps": (("layer1",), "selector"),
    "saliency.selector.epochs": (99, "selector"),
    "saliency.selector.batch_size": (32, "selector"),
    "saliency.selector.learning_rate": (0.3, "selector"),
    "saliency.selector.weight_decay": (0.3, "selector"),
    "saliency.selector.area_weight": (0.7, "selector"),
    "saliency.selector.area_power": (0.7, "selector"),
    "saliency.selector.smoothness_weight": (0.7, "selector"),
    "saliency.selector.mask_temperature": (0.7, "selector"),
    "saliency.selector.hard_masks": (True, "selector"),
    "saliency.selector.decoder_share": (0.2, "selector"),
    "gates.num_images": (100, "explanations"),
    "gates.source": ("hypernetwork", "steer"),
    "gates.prior": ("l1", "steer"),
    "gates.noise": ("gumbel", "steer"),
    "gates.base": (2.0, "steer"),
    "gates.temperature": (0.9, "steer"),
    "gates.final_temperature": (0.1, "steer"),
    "gates.hard_forward": (True, "steer"),
    "gates.steps": (3, "steer"),
    "gates.batch_size": (32, "steer"),
    "gates.learning_rate": (0.3, "steer"),
    "gates.weight_decay": (0.3, "steer"),
    "gates.budget_term": ("one_sided", "steer"),
    "gates.budget_warmup": (0.2, "steer"),
    "gates.steer_by": ("features", "steer"),
    "gates.network_weights": ("frozen", "steer"),
    "gates.weight_learning_rate": (0.3, "steer"),
    "gates.task_loss": ("distillation", "steer"),
    "gates.targets": ("shuffled", "steer"),
    "gates.distance": ("raw", "steer"),
    "loss_weights.task": (0.7, "steer"),
    "loss_weights.steering": (0.7, "steer"),
    "channels.scope": ("all", "steer"),
    "channels.round_to": (2, "steer"),
    "channels.min_channels": (2, "steer"),
    "budgets.macs": (0.7, "steer"),
    "budgets.params": (0.7, "steer"),
    "budgets.activation_memory": (0.7, "steer"),
    "budgets.latency_ms": (0.7, "steer"),
    "budgets.block_macs": (0.7, "steer"),
    "seed": (7, "steer"),
    "recovery.reconstruct": (True, "fine_tune"),
    "fine_tuning.epochs": (99, "fine_tune"),
    "fine_tuning.batch_size": (32, "fine_tune"),
    "fine_tuning.learning_rate": (0.3, "fine_tune"),
    "fine_tuning.momentum": (0.5, "fine_tune"),
    "fine_tuning.weight_decay": (0.3, "fine_tune"),
    "fine_tuning.schedule": ("step", "fine_tune"),
    "fine_tuning.warmup_epochs": (0.5, "fine_tune"),
    "fine_tuning.label_smoothing": (0.1, "fine_tune"),
    "fine_tuning.distillation.weight": (0.7, "fine_tune"),
    "fine_tuning.distillation.temperature": (5.0, "fine_tune"),
    "fine_tuning.distillation.features": (2.0, "fine_tune"),
}

# Seen through the data fingerprint, the file's content or another method instead.
OF_BUDGET_TERMS: dict[str, Any] = {
    "gates.dual_rate": 0.7,
    "gates.dual_damping": 0.7,
    "gates.dual_restarts": True,
    "gates.budget_widths": "sampled",
    "loss_weights.budget": 0.7,
}

ELSEWHERE = {
    "architecture.checkpoint",
    "latency_table",
    "dataset.name",
    "dataset.root",
    "dataset.train_images",
    "dataset.test_images",
    "dataset.validation_share",
    "dataset.test_share",
    "dataset.image_size",
    "dataset.split_seed",
    "method",
    "recovery.num_images",
    "gates.prior_sharpness",
    "gates.widths",
    *OF_BUDGET_TERMS,
    "importance.allocation",
    "importance.num_images",
    "importance.task_relevance",
    "importance.flow",
    "importance.stem_residual",
    "importance.grid_size",
    "importance.task_weight",
    "importance.num_positions",
    "importance.greedy",
}


def leaves(values: dict[str, Any], prefix: str = "") -> set[str]:
    names: set[str] = set()
    for key, value in values.items():
        names |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return names


def changed(name: str, value: Any) -> PruningConfig:
    values = PruningConfig().model_dump(mode="json")
    inner = values
    *path, last = name.split(".")
    for part in path:
        inner = inner[part]
    inner[last] = value
    return load_config(values)


def keys_by_stage(config: PruningConfig, fingerprint: str = "data") -> dict[str, str]:
    return {node.name: node.key for node in plan_run(config, fingerprint).nodes}


def test_every_field_is_covered_by_a_case_here() -> None:
    assert leaves(PruningConfig().model_dump(mode="json")) == set(CHANGES) | ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_moves_the_first_stage_that_reads_it_and_all_after_it(name: str) -> None:
    value, first = CHANGES[name]
    before, after = keys_by_stage(PruningConfig()), keys_by_stage(changed(name, value))
    moved = {stage for stage in STEERED if before[stage] != after[stage]}
    assert moved == set(STEERED[STEERED.index(first) :])


@pytest.mark.parametrize("name", sorted(name for name in ELSEWHERE if name.startswith("dataset.")))
def test_where_the_data_came_from_moves_no_key(name: str) -> None:
    values = {"name": "cifar10", "root": "/elsewhere", "image_size": 8, "split_seed": 3}
    other = changed(name, values.get(name.removeprefix("dataset."), 0.5 if "share" in name else 10))
    assert keys_by_stage(other) == keys_by_stage(PruningConfig())


def test_a_field_that_came_later_is_in_no_key_while_it_has_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So studies of the version before it go on."""
    digested: list[dict[str, Any]] = []

    def remember(values: dict[str, Any]) -> str:
        digested.append(values)
        return "key"

    monkeypatch.setattr(stage_keys, "_digest", remember)
    plan_run(PruningConfig(), "data")
    assert {"budgets.macs", "gates.source"} <= {name for values in digested for name in values["fields"]}
    assert not any(stage_keys.ADDED_SINCE_FIRST_KEYS.keys() & values["fields"].keys() for values in digested)


def test_a_latency_table_counts_by_its_content_and_only_with_a_budget(tmp_path: Path) -> None:
    def key(path: Path, **budgets: float) -> str:
        return plan_run(load_config({"budgets": budgets, "latency_table": str(path)}), "data").trial_key

    one, same, other = (tmp_path / name for name in ("one.json", "same.json", "other.json"))
    for path, text in ((one, "{}"), (same, "{}"), (other, "[]")):
        path.write_text(text)
    assert key(one, latency_ms=0.5) == key(same, latency_ms=0.5) != key(other, latency_ms=0.5)
    assert (
        key(one, macs=0.5)
        == key(tmp_path / "missing.json", macs=0.5)
        == plan_run(PruningConfig(), "data").trial_key
    )
    with pytest.raises(
        InvalidSettingsError, match=r"but '.*missing.json' is not: No such file .* prunefront latency SPEC"
    ):
        key(tmp_path / "missing.json", latency_ms=0.5)


def test_other_data_moves_every_key() -> None:
    before, after = keys_by_stage(PruningConfig(), "a"), keys_by_stage(PruningConfig(), "b")
    assert all(before[stage] != after[stage] for stage in STEERED)


@pytest.mark.parametrize(
    "name", sorted(name for name in ELSEWHERE if name.startswith("importance.") and "allocation" not in name)
)
def test_importance_settings_count_only_where_importance_is_measured(name: str) -> None:
    values = {
        "greedy": False,
        "task_weight": 0.25,
        "stem_residual": 0.25,
        "flow": "energy",
        "task_relevance": "hsic",
    }
    other = changed(name, values.get(name.removeprefix("importance."), 7))
    assert keys_by_stage(other) == keys_by_stage(PruningConfig())
    method = {"method": MethodName.TASK_INSPIRED}
    before = keys_by_stage(PruningConfig().model_copy(update=method))
    after = keys_by_stage(other.model_copy(update=method))
    assert before["dense"] == after["dense"]
    assert all(before[stage] != after[stage] for stage in ("importance", "allocate", "fine_tune"))


def with_importance(method: MethodName, **importance: object) -> dict[str, str]:
    return keys_by_stage(load_config({"method": method, "importance": importance}))


def test_gradients_do_not_read_what_only_class_correlation_and_flow_need() -> None:
    plain = with_importance(MethodName.TAYLOR)
    assert with_importance(MethodName.TAYLOR, greedy=False, grid_size=2, task_weight=0.1) == plain
    assert with_importance(MethodName.TAYLOR, num_images=7)["importance"] != plain["importance"]
    assert "importance.greedy" not in fields_read_by(MethodName.TAYLOR)


@pytest.mark.parametrize("method", [MethodName.TAYLOR, MethodName.L1])
def test_an_allocation_moves_no_score_and_its_default_may_be_spelt_out(method: MethodName) -> None:
    plain = with_importance(method)
    assert with_importance(method, allocation=DEFAULT_ALLOCATIONS[method]) == plain
    other = with_importance(method, allocation="sensitivity")
    assert list(other) == [*list(plain)[:-2], "sensitivity", "allocate", "fine_tune"]
    assert all(other[stage] == plain[stage] for stage in plain if stage not in ("allocate", "fine_tune"))
    assert all(other[stage] != plain[stage] for stage in ("allocate", "fine_tune"))


def test_sensitivities_are_shared_by_all_budgets_and_move_with_the_method() -> None:
    def sensitivity_of(method: MethodName, **values: object) -> str:
        config = {"method": method, "importance": {"allocation": "sensitivity"}, **values}
        return keys_by_stage(load_config(config))["sensitivity"]

    plain = sensitivity_of(MethodName.L1)
    assert sensitivity_of(MethodName.L1, budgets={"macs": 0.3}, seed=5) == plain
    assert sensitivity_of(MethodName.L2) != plain


@pytest.mark.parametrize("name", OF_BUDGET_TERMS)
def test_settings_of_a_loss_term_count_only_where_the_budget_is_one(name: str) -> None:
    other = changed(name, OF_BUDGET_TERMS[name])
    assert keys_by_stage(other) == keys_by_stage(PruningConfig())
    term = {"gates": other.gates.model_copy(update={"budget_term": "lagrangian"})}
    plain = {"gates": PruningConfig().gates.model_copy(update={"budget_term": "lagrangian"})}
    before, after = PruningConfig().model_copy(update=plain), other.model_copy(update=term)
    assert keys_by_stage(before)["steer"] != keys_by_stage(after)["steer"]


def steered_from(prior: str | None, **values: object) -> dict[str, str]:
    return keys_by_stage(load_config({"gates": {"prior": prior}, **values}))


def test_a_prior_shares_the_importance_of_its_own_method() -> None:
    plain, hybrid = steered_from(None), steered_from("task_inspired")
    scored = with_importance(MethodName.TASK_INSPIRED)
    assert list(hybrid) == [*list(plain)[:-2], "importance", "sensitivity", "steer", "fine_tune"]
    assert all(hybrid[stage] == scored[stage] for stage in ("importance", "sensitivity"))
    assert all(hybrid[stage] != plain[stage] for stage in ("steer", "fine_tune"))
    assert list(steered_from("l1")) == list(plain)
    assert steered_from("l1", importance={"allocation": "global"})["steer"] != steered_from("l1")["steer"]


def test_without_a_prior_nothing_of_scores_counts() -> None:
    assert steered_from(None, importance={"allocation": "global"}) == steered_from(None)
    sharper = load_config({"gates": {"prior_sharpness": 5.0}})
    assert keys_by_stage(sharper) == steered_from(None)
    assert "importance.allocation" not in fields_read_by(MethodName.INTERPRETATION_STEERED)
    assert "importance.allocation" in fields_read_by(MethodName.INTERPRETATION_STEERED, prior=MethodName.L1)


def test_a_prior_with_its_widths_is_another_run_than_one_with_its_order_alone() -> None:
    learned, allocated = (
        keys_by_stage(load_config({"gates": {"prior": "l1", "widths": widths}}))
        for widths in ("learned", "allocated")
    )
    assert learned == steered_from("l1")
    assert {stage for stage in learned if learned[stage] != allocated[stage]} == {"steer", "fine_tune"}


def test_the_size_of_a_reconstruction_counts_only_if_there_is_one() -> None:
    def trial_of(**recovery: object) -> str:
        return plan_run(load_config({"recovery": recovery}), "data").trial_key

    assert trial_of(num_images=7) == trial_of()
    assert trial_of(num_images=7, reconstruct=True) != trial_of(reconstruct=True)


def test_methods_share_the_dense_network_and_nothing_they_choose() -> None:
    plans = [keys_by_stage(PruningConfig(method=method)) for method in MethodName]
    assert len({plan["dense"] for plan in plans}) == 1
    assert len({plan["fine_tune"] for plan in plans}) == len(plans)


def test_a_checkpoint_counts_by_its_content_not_by_its_path(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a.pt", "b.pt", "c.pt"))
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    third.write_bytes(b"other")
    keys = [
        keys_by_stage(changed("architecture.checkpoint", str(path)))["dense"]
        for path in (first, second, third)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_missing_checkpoint_is_named() -> None:
    with pytest.raises(InvalidCheckpointError, match=r"must be a readable file, but 'nowhere\.pt' is not"):
        plan_run(changed("architecture.checkpoint", "nowhere.pt"), "data")


def test_a_plug_in_counts_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    config = changed("architecture.name", "my_plug_in_network:build")
    (tmp_path / "my_plug_in_network.py").write_text("width = 1\n")
    before = keys_by_stage(config)
    (tmp_path / "my_plug_in_network.py").write_text("width = 2\n")
    assert keys_by_stage(config)["dense"] != before["dense"]


def test_a_plug_in_that_cannot_be_found_is_named() -> None:
    with pytest.raises(InvalidSettingsError, match="module 'no_such_module' must be importable"):
        plan_run(changed("architecture.name", "no_such_module:build"), "data")


@pytest.mark.parametrize("method", MethodName)
def test_parents_come_before_children_and_the_last_stage_is_the_trial(method: MethodName) -> None:
    plan = plan_run(PruningConfig(method=method), "data")
    seen: set[str] = set()
    for node in plan.nodes:
        assert set(node.parents) <= seen
        seen.add(node.key)
    assert plan.trial_key == plan.key_of("fine_tune")
    assert set(STAGES_OF_METHOD[method]) <= set(STAGES)


def test_the_fields_a_method_reads_are_known() -> None:
    assert "saliency.num_basis" in fields_read_by(MethodName.INTERPRETATION_STEERED)
    assert "saliency.num_basis" not in fields_read_by(MethodName.L1)
    assert "importance.num_images" not in fields_read_by(MethodName.L1)
    assert "importance.num_images" in fields_read_by(MethodName.L1, "sensitivity")


def test_keys_are_the_same_in_every_process() -> None:
    code = (
        "from pruning_core.config import PruningConfig; from pruning_core.stage_keys import plan_run; "
        "print([node.key for node in plan_run(PruningConfig(), 'data').nodes])"
    )
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == str(list(keys_by_stage(PruningConfig()).values()))
