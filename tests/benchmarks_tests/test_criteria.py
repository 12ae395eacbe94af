"""The benchmark of importances: rows that differ, one dense network per seed, paired differences."""

from __future__ import annotations

from typing import Any

from benchmarks.criteria import REFERENCE, ROWS, make_config, read_arguments, render
from pruning_core.stage_graphs import allocation_of
from pruning_core.stage_keys import plan_run

ARGUMENTS = read_arguments(["--data", "nowhere.npz"])


def cell(row: str, seed: int, correct: int) -> dict[str, Any]:
    figures = {
        "num_images": 1000,
        "num_correct": correct,
        "loss": 1.5,
        "macs_share": 0.5,
        "params_share": 0.5,
        "machine": "a machine",
    }
    return {"row": row, "macs": 0.5, "seed": seed, **figures}


def test_no_two_rows_are_the_same_run_and_all_share_the_dense_network() -> None:
    plans = [plan_run(make_config(ARGUMENTS, row, 0.5, 1), "data") for row in ROWS]
    assert len({plan.key_of("allocate") for plan in plans}) == len(ROWS)
    assert len({plan.key_of("dense") for plan in plans}) == 1


def test_rows_that_name_no_allocation_keep_the_same_share_of_every_group() -> None:
    for row in ROWS:
        config = make_config(ARGUMENTS, row, 0.5, 0)
        is_uniform = allocation_of(config.method, config.importance.allocation) == "uniform"
        assert is_uniform == (not row.endswith((", sensitivity", ", task loss", ", global")))


def test_differences_are_taken_seed_by_seed() -> None:
    cells = [cell(REFERENCE, 0, 800), cell(REFERENCE, 1, 700), cell("random", 0, 790), cell("random", 1, 680)]
    page = render(ARGUMENTS, cells)
    assert "| random | 2 | **73.5 ± 7.8** | -1.5 ± 0.5 | 1.50 | 0.500 |" in page
    assert f"| {REFERENCE} | 2 | **75.0 ± 7.1** |  | 1.50 | 0.500 |" in page
