"""The ablation benchmark: rows that differ, equal training, paired differences."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ablation import read_arguments
from benchmarks.ablation_page import render
from benchmarks.ablation_rows import REFERENCE, RIVAL, ROWS, SHIPPED, make_config
from benchmarks.quality_rows import PRESETS, config_of
from benchmarks.quality_rows import ROWS as COMPARED
from pruning_core.config import PruningConfig
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
        epochs += config.gates.steps * config.gates.batch_size / _num_train()
    assert epochs == pytest.approx(ARGUMENTS.epochs, abs=0.1)


def _num_train() -> float:
    return ARGUMENTS.images * (1 - ARGUMENTS.validation_share)  # type: ignore[no-any-return]


def test_the_shipped_row_has_the_defaults() -> None:
    """Only trainings are shorter."""

    def keys(config: PruningConfig) -> str:
        return plan_run(config, "data").trial_key

    shipped = make_config(ARGUMENTS, SHIPPED, 0.5, 0)
    defaults = PruningConfig()
    same = shipped.model_copy(
        update={
            name: getattr(defaults, name)
            for name in ("method", "importance", "loss_weights", "recovery", "precision")
        }
        | {
            "gates": defaults.gates.model_copy(update={"steps": shipped.gates.steps}),
            "saliency": defaults.saliency.model_copy(
                update={
                    part: getattr(defaults.saliency, part).model_copy(
                        update={"epochs": getattr(shipped.saliency, part).epochs}
                    )
                    for part in ("predictor", "selector")
                }
            ),
            "fine_tuning": defaults.fine_tuning.model_copy(update={"epochs": shipped.fine_tuning.epochs}),
        }
    )
    assert keys(same) == keys(shipped)


def test_rows_with_the_data_of_the_comparison_share_its_stages() -> None:
    line = (
        "--data nowhere.npz --images 50000 --validation-share 0.1 --gate-steps 351 --epochs 5 --dense-epochs 20 "
        "--saliency-epochs 4 2"
    )
    args = read_arguments(line.split())
    for ours, theirs in (
        (SHIPPED, "ours: default"),
        (REFERENCE, "L1, uniform"),
        ("task-inspired", "ours: task-inspired"),
    ):
        there = config_of(PRESETS["cpu"], COMPARED[theirs], "nowhere.npz", macs=0.25, seed=1)
        here = make_config(args, ours, 0.25, 1)
        assert here.dataset == there.dataset
        assert plan_run(here, "data").trial_key == plan_run(there, "data").trial_key


def test_differences_are_taken_seed_by_seed() -> None:
    cells = [
        *(cell(REFERENCE, seed, correct) for seed, correct in enumerate((800, 700))),
        *(cell("random", seed, correct) for seed, correct in enumerate((790, 680))),
        {**cell(RIVAL, 1, 690), "num_correct_after_reconstruction": 600},
    ]
    page = render(ARGUMENTS, cells)
    assert "| random | 2 | 50.0 ± 0.0 |  | **73.5 ± 7.8** | -1.5 ± 0.5 | -1.0 | 0.500 |  |" in page
    assert f"| {REFERENCE} | 2 | 50.0 ± 0.0 |  | **75.0 ± 7.1** |  | +1.0 | 0.500 |  |" in page
    assert f"| {RIVAL} | 1 | 50.0 | 60.0 | **69.0** | -1.0 |  | 0.500 |  |" in page


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ((810, 712), "is open: 2 of 3 seeds have all three."),
        ((810, 712, 760), f"beats `{REFERENCE}` by more than twice the standard error and beats `{RIVAL}`"),
        (
            (810, 700, 760),
            f"beats `{RIVAL}` by more than twice the standard error and does not beat `{REFERENCE}` by",
        ),
        (
            (700, 600, 650),
            f"does not beat `{REFERENCE}` by that much and does not beat `{RIVAL}` by that much.",
        ),
    ],
)
def test_the_page_says_whether_the_default_wins(ours: tuple[int, ...], verdict: str) -> None:
    cells = [
        *(cell(SHIPPED, seed, correct) for seed, correct in enumerate(ours)),
        *(cell(REFERENCE, seed, correct) for seed, correct in enumerate((800, 700, 750))),
        *(cell(RIVAL, seed, correct) for seed, correct in enumerate((790, 690, 740))),
    ]
    assert verdict in render(ARGUMENTS, cells)


def test_the_page_names_the_machines_and_threads_that_filled_it() -> None:
    assert "Dense: 90.0 (by seed). Filled in on a machine." in render(ARGUMENTS, [cell(REFERENCE, 0, 800)])
