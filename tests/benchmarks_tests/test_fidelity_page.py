"""The fidelity benchmark: runs of the ablation, paired differences, chance levels."""

from __future__ import annotations

from typing import Any

from benchmarks.ablation import read_arguments as read_ablation_arguments
from benchmarks.ablation_rows import REFERENCE, ROWS, make_config
from benchmarks.fidelity import EXPLAINING_ROW, MEASURED_ROWS, read_arguments
from benchmarks.fidelity_page import render
from pruning_core.stage_keys import plan_run

ARGUMENTS = read_arguments(["--data", "nowhere.npz"])


def cell(row: str, seed: int, value: float, num_images: int = 256) -> dict[str, Any]:
    kept = {"value": value, "chance": value / 4}
    areas = {
        whose: {"deletion": value / 2, "insertion": value / 3}
        for whose in ("dense", "slim", "dense_on_slim", "chance")
    }
    seen = {"dense": {"value": 0.25, "chance": 0.125}, "slim": kept}
    kinds = ("mask", "grad_cam", "integrated_gradients")
    return {
        "row": row,
        "macs": 0.5,
        "seed": seed,
        "num_images": num_images,
        "accuracy": 0.75,
        "dense_accuracy": 0.8,
        "machine": "a machine",
        "fidelity": {
            "num_images": num_images,
            "same_class": 0.875,
            "mask_overlap": kept,
            "mask_distance": kept,
            "rank_correlation": dict.fromkeys(kinds, kept),
            "mask_seen": dict.fromkeys(kinds[1:], seen),
            "curves": dict.fromkeys(kinds, areas),
        },
    }


def test_the_runs_are_those_of_the_ablation() -> None:
    ablation = read_ablation_arguments(["--data", "nowhere.npz"])
    for row in MEASURED_ROWS:
        ours, theirs = make_config(ARGUMENTS, row, 0.25, 1), make_config(ablation, row, 0.25, 1)
        assert plan_run(ours, "data").trial_key == plan_run(theirs, "data").trial_key


def test_all_measured_rows_of_a_seed_prune_the_network_that_the_selector_explains() -> None:
    explaining = plan_run(make_config(ARGUMENTS, EXPLAINING_ROW, 0.5, 1), "data")
    assert REFERENCE in MEASURED_ROWS
    for row in MEASURED_ROWS:
        plan = plan_run(make_config(ARGUMENTS, row, 0.25, 1), "data")
        assert plan.key_of("dense") == explaining.key_of("dense")


def test_differences_are_taken_seed_by_seed_and_rows_come_in_the_order_of_the_ablation() -> None:
    cells = [
        cell("random", 0, 0.5),
        cell("random", 1, 0.25),
        cell(REFERENCE, 1, 0.5),
        cell(REFERENCE, 0, 0.625),
    ]
    page = render(ARGUMENTS, cells)
    both = "**0.375 ± 0.177** | -0.188 ± 0.062"
    assert f"| random | 2 | 75.0 ± 0.0 | 0.875 ± 0.000 | {both} | {both} | {both} |" in page
    alone = "**0.562 ± 0.088** | "
    assert f"| {REFERENCE} | 2 | 75.0 ± 0.0 | 0.875 ± 0.000 | {alone} | {alone} | {alone} |" in page
    assert "| chance, all rows | 4 |  |  | 0.117 ± 0.039 |" in page
    assert page.index("| random |") < page.index(f"| {REFERENCE} |")
    assert list(ROWS).index("random") < list(ROWS).index(REFERENCE)


def test_the_dense_network_stands_above_the_rows_and_counts_once_per_seed() -> None:
    page = render(ARGUMENTS, [cell("random", 0, 0.5), cell(REFERENCE, 0, 0.5)])
    assert "| dense | 0.250 | 0.125 | 0.250 | 0.125 |\n| random | 0.500 | 0.125 | 0.500 | 0.125 |" in page
    assert (
        "| dense | 0.250 |  |  | 0.167 |  |  |\n| random | 0.250 | 0.250 | 0.250 | 0.167 | 0.167 | 0.167 |"
        in page
    )
    assert "Dense: 80.0 (by seed)." in page


def test_cells_of_another_number_of_images_are_not_shown() -> None:
    page = render(ARGUMENTS, [cell("random", 0, 0.5), cell("random", 1, 0.25, num_images=64)])
    assert "| random | 1 | 75.0 | 0.875 | **0.500** |  |" in page


def test_the_command_names_the_rows_if_they_are_not_the_usual_ones() -> None:
    few = read_arguments(["--data", "nowhere.npz", "--rows", REFERENCE, "random"])
    assert render(few, [cell("random", 0, 0.5)]).count("--measured 256 --rows 'L1, uniform' random\n") == 1
    assert "--rows" not in render(ARGUMENTS, [cell("random", 0, 0.5)])
