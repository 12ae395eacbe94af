"""The benchmark of methods on digits: rows that differ, one dense network, as many updates in every row."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.digits_methods import REFERENCE, ROWS, make_config, read_arguments, render
from pruning_core.data import load_data
from pruning_core.method_names import MethodName
from pruning_core.stage_keys import plan_run

ARGUMENTS = read_arguments(["--store", "nowhere"])


def cell(row: str, seed: int, correct: int) -> dict[str, Any]:
    return {
        "row": row,
        "macs": 0.5,
        "seed": seed,
        "num_images": 1000,
        "num_correct_dense": 900,
        "num_correct_fine_tuned": correct,
        "explanation_similarity": 0.5,
        "params_share": 0.25,
        "machine": "a machine",
    }


def test_no_two_rows_are_the_same_run_and_all_share_the_dense_network() -> None:
    plans = [plan_run(make_config(row, 0.5, 1), "data") for row in ROWS]
    assert len({plan.trial_key for plan in plans}) == len(ROWS)
    assert len({plan.key_of("dense") for plan in plans}) == 1


@pytest.mark.parametrize("row", ROWS)
def test_every_row_updates_weights_as_often(row: str) -> None:
    config = make_config(row, 0.5, 0)
    num_images = len(load_data(config.dataset).train)
    updates = config.fine_tuning.epochs * num_images / config.fine_tuning.batch_size
    if config.method is MethodName.INTERPRETATION_STEERED and config.gates.network_weights == "joint":
        updates += config.gates.steps
    reference = make_config(REFERENCE, 0.5, 0).fine_tuning.epochs * num_images / config.fine_tuning.batch_size
    assert updates == pytest.approx(reference, rel=0.05)


def test_differences_are_taken_seed_by_seed_and_the_worst_seed_is_shown() -> None:
    cells = [cell(REFERENCE, 0, 800), cell(REFERENCE, 1, 700), cell("random", 0, 790), cell("random", 1, 680)]
    page = render(ARGUMENTS, cells)
    assert "| random | 2 | **73.5 ± 7.8** | 68.0 | -1.5 ± 0.5 | 0.250 ± 0.000 | 0.500 ± 0.000 |" in page
    assert f"| {REFERENCE} | 2 | **75.0 ± 7.1** | 70.0 |  | 0.250 ± 0.000 | 0.500 ± 0.000 |" in page
    assert "Dense: 90.0. Filled in on a machine." in page
