"""The benchmark of throughput: what a step has to move, what is timed, and what the page says of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.memory_traffic import count_training
from benchmarks.speed_steps import Workload
from benchmarks.throughput import cells_of, main, read_arguments
from benchmarks.throughput_page import render
from benchmarks.throughput_steps import WAYS, count_numbers


def test_the_numbers_of_a_network_are_those_of_its_layers_outputs() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)
    ).eval()
    found = count_training(network, torch.zeros(1, 3, 6, 6))
    assert (found.outputs, found.pixels) == (4 * 6 * 6 + 10, 3 * 6 * 6)
    assert found.weights == (27 * 4 + 4) + 8 + (144 * 10 + 10)


def test_bytes_grow_with_the_batch_but_for_the_weights() -> None:
    numbers = count_numbers(Workload.of("cifar_resnet8"))
    for step, read in (("training", 8), ("steering", 3)):
        one, two = (numbers[step].least_bytes(step, "float32", batch) for batch in (1, 2))
        assert 2 * one - two == read * 4 * numbers[step].weights
        assert numbers[step].least_bytes(step, "bfloat16", 2) == (two + read * 4 * numbers[step].weights) / 2
    per_image = 5 * numbers["training"].outputs + 2 * 3 * 32 * 32
    weights = 8 * numbers["training"].weights
    assert numbers["training"].least_bytes("training", "float32", 7) == 4 * (7 * per_image + weights)
    assert numbers["steering"].outputs > numbers["training"].outputs  # the decoder is run as well


def test_ways_that_compile_come_last_and_each_figure_once() -> None:
    args = read_arguments([])
    cells = list(cells_of(args))
    assert len({json.dumps(cell) for cell in cells}) == len(cells) == 3 * 2 * (len(WAYS) + len(WAYS) - 1)
    compiled = [cell["compiler"] is not None for cell in cells]
    assert compiled == sorted(compiled)


@pytest.mark.slow
def test_a_tiny_table_is_measured_on_the_cpu_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--tiny", "--precisions", "float32", "--out", str(tmp_path)]
    main([*few, "--ways", "stage", "step", "step, CUDA graph"])
    results = json.loads((tmp_path / "throughput-cpu.json").read_text(encoding="utf-8"))
    figures = {(cell["step"], cell["way"]): cell for cell in results["cells"]}
    assert len(figures) == 6
    for (_, way), cell in figures.items():
        if WAYS[way].is_graph:
            assert cell["problem"] == "not run: needs CUDA"
            continue
        low, median, high = cell["ms"]
        assert 0 < low <= median <= high
        assert cell["images_per_s"] == pytest.approx(8e3 / median, rel=0.01)
        assert cell["share_of_bound"] == pytest.approx(
            cell["images_per_s"] / cell["bound_images_per_s"], abs=1e-3
        )
    page = (tmp_path / "throughput-cpu.md").read_text(encoding="utf-8")
    assert "| float32 | step, CUDA graph | not run: needs CUDA |  |" in page
    capsys.readouterr()
    main([*few, "--ways", "stage", "step, compiled", "--steps", "training"])
    (printed,) = capsys.readouterr().out.splitlines()
    assert "'way': 'step, compiled'" in printed
    assert "'images_per_s'" in printed


def figure(batch: int, **found: Any) -> dict[str, Any]:
    return {
        "architecture": "cifar_resnet56", "step": "training", "way": "step", "precision": "float32", "batch": batch,
        "compiler": "inductor", "is_tuned": False, "bound_images_per_s": 2000.0, **found,
    }  # fmt: skip


def test_the_page_says_what_share_was_reached_and_what_was_not_run() -> None:
    measured = {"prepared_s": 61.25, "images_per_s": 1500.0, "share_of_bound": 0.75}
    other = {**figure(64, problem="failed: OutOfMemoryError: a | b"), "way": "stage"}
    page = render(
        {
            "command": "python -m benchmarks.throughput",
            "facts": {
                "device": "NVIDIA", "threads": 1, "torch": "2", "clock": "elapsed seconds", "copy_gb_per_s": 4000.0
            },
            "numbers": {"training": {"outputs": 1000, "pixels": 3072, "weights": 10}},
            "cells": [figure(32, **measured), figure(64, problem="failed: OutOfMemoryError: a | b"), other],
        }
    )  # fmt: skip
    assert "| float32 | *bound* | 2,000 | 2,000 |  |" in page
    assert "| step (inductor) | 1,500 (75.0 %) | failed: OutOfMemoryError: a / b | 61.2 s |" in page
    assert "| stage (inductor) | not run | failed: OutOfMemoryError: a / b |  |" in page
    assert "| training | 1,000 | 5 times | 3,072 | 2 times | 10 | 8 times |" in page
