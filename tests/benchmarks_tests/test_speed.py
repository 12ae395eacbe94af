"""The speed benchmark: loops that take turns, real steps, ratios against targets."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import main, time_workload
from benchmarks.speed_page import TARGETS, render
from benchmarks.speed_steps import Workload
from benchmarks.stepping import SteppedRun
from pruning_core.progress import StepReport

TINY = Workload(architecture="cifar_resnet8", side=16, batch=8, num_classes=4)


def counting(seen: list[int], num_steps: int) -> Any:
    def train(report: StepReport) -> None:
        for step in range(num_steps):
            seen.append(step)
            report(step + 1, num_steps)

    return train


def test_stepped_runs_work_only_when_asked_and_take_turns() -> None:
    num_threads = threading.active_count()
    first: list[int] = []
    second: list[int] = []
    with SteppedRun(counting(first, 5)) as one, SteppedRun(counting(second, 5)) as other:
        assert (first, second) == ([], [])
        one.step()
        one.step()
        other.step()
        assert (first, second) == ([0, 1], [0])
    assert (first, second) == ([0, 1], [0])  # stopped, not run to the end
    assert threading.active_count() == num_threads


def test_a_run_without_steps_left_says_so() -> None:
    with SteppedRun(counting([], 1)) as run:
        run.step()
        with pytest.raises(RuntimeError, match="must have a step left, but it has ended"):
            run.step()


def test_an_error_of_the_training_comes_out_of_the_step() -> None:
    def train(_report: StepReport) -> None:
        raise ValueError("diverged")

    with SteppedRun(train) as run, pytest.raises(RuntimeError, match="it has ended") as caught:
        run.step()
    assert isinstance(caught.value.__cause__, ValueError)


def test_every_kind_of_step_is_timed() -> None:
    row = time_workload(TINY, rounds=2, repeats=1)
    assert list(row["steps"]) == ["plain", "training", "steering", "joint", "predictor", "selector"]
    assert row["steps"]["plain"]["ratio"] == 1
    for step in row["steps"].values():
        low, median, high = step["ms"]
        assert 0 < low <= median <= high
        assert step["images_per_s"] == pytest.approx(1e3 * TINY.batch / median, rel=0.01)


def results(ratio: float) -> dict[str, Any]:
    step = {"ms": [1.0, 2.0, 3.0], "ratio": ratio, "images_per_s": 64000.0}
    return {
        "command": "python -m benchmarks.speed",
        "precision": "float32",
        "facts": {
            "device": "x86_64", "threads": 1, "torch": "2", "clock": "CPU seconds", "copy_gb_per_s": 10.0
        },
        "networks": [
            {
                "architecture": "cifar_resnet20", "side": 32, "batch": 128, "rounds": 2, "repeats": 1,
                "steps": dict.fromkeys(("plain", "steering", "selector"), step),
            }
        ],
        "memory": {
            "architecture": "torchvision:resnet50", "side": 224, "batch": 16, "steps": 3,
            "imports_mb": 300.0, "building_mb": 900.0, "steering_mb": 8100.0,
        },
    }  # fmt: skip


@pytest.mark.parametrize(("ratio", "num_met"), [(1.2, 2), (1.5, 1), (2.5, 0)])
def test_the_page_holds_ratios_against_their_targets(ratio: float, num_met: int) -> None:
    page = render(results(ratio))
    assert page.count(": met") == num_met
    assert page.count(": missed") == len(TARGETS) - num_met + 1  # and the memory
    assert "at most 8000: missed" in page


def test_networks_of_a_library_are_timed_on_large_images() -> None:
    assert (Workload.of("cifar_resnet20").side, Workload.of("torchvision:resnet18").side) == (32, 224)
    assert Workload.of("torchvision:resnet18", batch=4).batch == 4


def test_nothing_but_the_machine_is_measured_without_architectures(tmp_path: Path) -> None:
    main(["--architectures", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert found["networks"] == []
    assert found["facts"]["copy_gb_per_s"] > 0
