"""The ablation benchmark: rows that differ, equal training, paired differences."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ablation import REFERENCE, ROWS, make_config, read_arguments, render
from pruning_core.method_names import MethodName
from pruning_core.stage_keys import plan_run

ARGUMENTS = read_arguments(["--data", "nowhere.npz"])


def cell(row: str, seed: int, correct: int) -> dict[str, Any]:
    return {
        "row": row,
        "macs": 0.5,
        "seed": seed,
        "num_images": 1000,
        "num_correct_dense": 900,
        "num_correct_after_removal": 500,
        "num_correct_fine_tuned": correct,
        "explanation_similarity": None,
        "params_share": 0.5,
        "machine": "a machine",
    }


def test_no_two_rows_are_the_same_run() -> None:
    keys = [plan_run(make_config(ARGUMENTS, row, 0.5, 0), "data").trial_key for row in ROWS]
    assert len(set(keys)) == len(ROWS)


def test_all_rows_of_a_seed_share_the_dense_network() -> None:
    keys = {plan_run(make_config(ARGUMENTS, row, 0.5, 1), "data").key_of("dense") for row in ROWS}
    assert len(keys) == 1


@pytest.mark.parametrize("row", ROWS)
def test_every_row_updates_weights_for_as_many_epochs(row: str) -> None:
    config = make_config(ARGUMENTS, row, 0.5, 0)
    epochs: float = config.fine_tuning.epochs
    if config.method is MethodName.INTERPRETATION_STEERED and config.gates.network_weights == "joint":
        epochs += config.gates.steps * config.gates.batch_size / (ARGUMENTS.images * 0.75)
    assert epochs == pytest.approx(ARGUMENTS.epochs, abs=0.1)


def test_differences_are_taken_seed_by_seed() -> None:
    cells = [cell(REFERENCE, 0, 800), cell(REFERENCE, 1, 700), cell("random", 0, 790), cell("random", 1, 680)]
    page = render(ARGUMENTS, cells)
    assert "| random | 2 | 50.0 ± 0.0 | **73.5 ± 7.8** | -1.5 ± 0.5 | 0.500 |  |" in page
    assert f"| {REFERENCE} | 2 | 50.0 ± 0.0 | **75.0 ± 7.1** |  | 0.500 |  |" in page


def test_the_page_names_the_machines_and_threads_that_filled_it() -> None:
    assert "Dense: 90.0 (by seed). Filled in on a machine." in render(ARGUMENTS, [cell(REFERENCE, 0, 800)])
