"""Which runs run again when an allocator divides budgets otherwise."""

from __future__ import annotations

import pytest

from pruning_core import stage_keys
from pruning_core.config import load_config

RUNS: dict[str, dict[str, object]] = {
    "l1": {"method": "l1"},
    "task_inspired": {"method": "task_inspired"},
    "gates from task_inspired": {"gates": {"prior": "task_inspired"}},
}


def keys_of_runs() -> dict[str, dict[str, str]]:
    plans = {name: stage_keys.plan_run(load_config(values), "data") for name, values in RUNS.items()}
    return {name: {node.name: node.key for node in plan.nodes} for name, plan in plans.items()}


def test_an_allocator_that_divides_otherwise_moves_the_keys_of_its_own_runs_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after = keys_of_runs()
    monkeypatch.setattr(stage_keys, "ALLOCATION_VERSIONS", {})
    before = keys_of_runs()
    moved = {
        name: {stage for stage, key in keys.items() if key != before[name][stage]}
        for name, keys in after.items()
    }
    assert moved == {
        "l1": set(),
        "task_inspired": {"allocate", "fine_tune"},
        "gates from task_inspired": {"steer", "fine_tune"},
    }
