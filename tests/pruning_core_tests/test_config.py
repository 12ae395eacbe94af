"""Settings of one run: what is refused, with which words, and what survives a round trip."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pruning_core.budgets import Budget, Resource, parse_budget, parse_latency_budget
from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import InvalidSettingsError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"buget": 1}, r"unknown key 'buget'\. Known keys there: architecture, budgets, .*seed"),
        ({"gates": {"nois": 1}}, r"unknown key 'gates\.nois'\. Known keys there: base, .*noise"),
        ({"budgets": {"macs": 1.5}}, r"'budgets\.macs': a budget must be a share in \(0, 1\].* but got 1\.5"),
        ({"budgets": {"macs": 0}}, r"'budgets\.macs': .* but got 0"),
        ({"budgets": {"params": -0.5}}, r"'budgets\.params': .* but got -0\.5"),
        ({"budgets": {"macs": True}}, r"'budgets\.macs': .* but got True"),
        (
            {"budgets": {}},
            r"'budgets': at least one of macs, params, activation_memory, latency_ms, block_macs must be set",
        ),
        ({"saliency": {"num_basis": 5}}, r"num_basis <= max_num_basis must hold, but got num_basis=5"),
        ({"saliency": {"width_range": [0.3, 0.1]}}, r"width_range must be \(low, high\)"),
        ({"method": "isp"}, r"'method': input should be 'interpretation_steered', .* but got 'isp'"),
        ({"seed": 1.5}, r"'seed': .* got 1\.5"),
        ({"dense_training": {"learning_rate": float("nan")}}, r"'dense_training\.learning_rate': .* got nan"),
        ({"architecture": {"weights": "A", "checkpoint": "b"}}, r"only one of weights and checkpoint"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettingsError, match=message) as caught:
        load_config(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        (0.5, Budget(share=0.5)),
        ("0.5", Budget(share=0.5)),
        ("50%", Budget(share=0.5)),
        (1, Budget(share=1.0)),
        ("20M", Budget(amount=20_000_000)),
        ("0.3m", Budget(amount=300_000)),
        (300_000, Budget(amount=300_000)),
        ("1.5G", Budget(amount=1_500_000_000)),
    ],
)
def test_a_budget_is_a_share_or_an_amount(written: object, budget: Budget) -> None:
    assert parse_budget(written) == budget


@pytest.mark.parametrize("written", ["", "half", "120%", "0", "1.5", None, [1], float("inf"), "20 apples"])
def test_anything_else_is_no_budget(written: object) -> None:
    with pytest.raises(ValueError, match="a budget must be a share"):
        parse_budget(written)


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        (0.5, Budget(share=0.5)),
        ("50%", Budget(share=0.5)),
        (1.0, Budget(share=1.0)),
        ("0.8ms", Budget(amount=800_000)),
        ("750 us", Budget(amount=750_000)),
        (2.5, Budget(amount=2_500_000)),
        ("1e-3ms", Budget(amount=1000)),
    ],
)
def test_a_latency_budget_is_a_share_or_a_time(written: object, budget: Budget) -> None:
    assert parse_latency_budget(written) == budget
    config = load_config({"budgets": {"latency_ms": written}})
    assert config.budgets.latency_ms == budget
    assert load_config(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("written", ["", "fast", "120%", 0, "0ms", -1, None, True, "2s", float("inf"), "3M"])
def test_anything_else_is_no_latency_budget(written: object) -> None:
    with pytest.raises(
        ValueError, match=r"a latency budget must be a share in \(0, 1\] such as 0.5 or a time"
    ):
        parse_latency_budget(written)


def test_amounts_of_latency_are_nanoseconds_shown_in_milliseconds() -> None:
    assert Resource.LATENCY.shown(812_345) == 0.812345
    for nanoseconds in (1, 999, 812_345, 10**9 + 1):
        assert Resource.LATENCY.amount(Resource.LATENCY.shown(nanoseconds)) == nanoseconds
    assert Resource.ACTIVATION_MEMORY.amount(Resource.ACTIVATION_MEMORY.shown(4096)) == 4096


@pytest.mark.parametrize(("share", "dense", "limit"), [(0.5, 101, 50), (0.7, 10, 7), (1.0, 12345, 12345)])
def test_a_share_becomes_the_largest_whole_amount_within_it(share: float, dense: int, limit: int) -> None:
    assert Budget(share=share).limit(dense) == limit


def test_settings_survive_json() -> None:
    config = load_config({"budgets": {"macs": "20M", "params": 0.5}, "saliency": {"taps": ["layer1"]}})
    assert PruningConfig.model_validate_json(config.model_dump_json()) == config
    assert load_config(json.loads(config.model_dump_json())) == config


def test_a_changed_epoch_of_fine_tuning_keeps_the_rest_of_its_defaults() -> None:
    default = PruningConfig().fine_tuning
    changed = load_config({"fine_tuning": {"epochs": 3, "distillation": {"temperature": 4.0}}}).fine_tuning
    assert changed.epochs == 3
    assert changed.distillation.temperature == 4.0
    assert changed.distillation.weight == default.distillation.weight > 0
    assert changed.learning_rate == default.learning_rate != PruningConfig().dense_training.learning_rate


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PruningConfig().seed = 3  # type: ignore[misc]
