"""How long the steps of each stage take, against a plain forward and backward pass of the same network and batch.

    python -m benchmarks.speed [--architectures cifar_resnet20 torchvision:resnet18] [--memory] --out docs/results
    python -m benchmarks.speed --device cuda --precision bfloat16 --out docs/results

Everything runs in one process and takes turns: in each round every kind of step is timed once (``--repeats`` times in a
row on a GPU), so that what else the machine does meets all kinds alike. Ratios are of medians over the rounds. With one
CPU thread the seconds are those the process computed, not those that passed; else they are those that passed, with the
GPU waited for before and after. Networks are untrained and images are noise: neither matters for the time. ``--memory``
measures the memory of steering ResNet-50 at 224 pixels, batch 16, on the CPU in a process of its own. Needs neither
Ray, Optuna nor MLflow. Writes speed.json and speed.md; the device, if it is not
the CPU, and bfloat16 are part of the names, as in speed-cuda-bfloat16.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed_page import render
from benchmarks.speed_steps import PLAIN, Workload, plain_step, synthetic_data, trainings
from benchmarks.steering_memory import measure_steering_memory
from benchmarks.stepping import SteppedRun
from benchmarks.timing import clock, machine_facts, wait_for

_WARM_UP = 2  # rounds that are not counted
_MEMORY = Workload(architecture="torchvision:resnet50", side=224, batch=16, num_classes=1000)
_MEMORY_STEPS = 3


def time_workload(workload: Workload, *, rounds: int, repeats: int) -> dict[str, Any]:
    """Time every kind of step in turns; return of each the quartiles (ms), the ratio to plain and images per second."""
    num_steps = (rounds + _WARM_UP) * repeats + 1
    with ExitStack() as stack:
        steps: dict[str, Callable[[], None]] = {PLAIN: plain_step(workload, synthetic_data(workload))}
        for name, train in trainings(workload, num_steps).items():
            steps[name] = stack.enter_context(SteppedRun(train)).step
        times = _take_turns(steps, workload.device, rounds=rounds, repeats=repeats)
    plain = statistics.median(times[PLAIN])
    return {
        "architecture": workload.architecture,
        "side": workload.side,
        "batch": workload.batch,
        "rounds": rounds,
        "repeats": repeats,
        "steps": {name: _row(seconds, plain, workload.batch) for name, seconds in times.items()},
    }


def _take_turns(
    steps: Mapping[str, Callable[[], None]], device: str, *, rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of one step of each kind, one number per round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(-_WARM_UP, rounds):
        for name, step in steps.items():
            wait_for(device)
            started = clock(device)
            for _ in range(repeats):
                step()
            wait_for(device)
            if index >= 0:
                times[name].append((clock(device) - started) / repeats)
    return times


def _row(seconds: Sequence[float], plain: float, batch: int) -> dict[str, Any]:
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "ms": [round(1e3 * value, 3) for value in (low, median, high)],
        "ratio": round(median / plain, 3),
        "images_per_s": round(batch / median, 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", nargs="*", default=["cifar_resnet20"], metavar="NAME")
    parser.add_argument("--batch", type=int, help="images per step (default: 128 at 32 px, 32 at 224 px)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, help="steps timed in a row (default: 1, on a GPU 20)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--memory", action="store_true", help="measure the memory of ResNet-50 as well")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    repeats = args.repeats or (1 if args.device == "cpu" else 20)
    results: dict[str, Any] = {
        "command": "python -m benchmarks.speed " + " ".join(sys.argv[1:] if argv is None else argv),
        "precision": args.precision,
        "facts": machine_facts(args.device),
        "networks": [],
        "memory": measure_steering_memory(_MEMORY, steps=_MEMORY_STEPS) if args.memory else None,
    }
    for name in args.architectures:
        workload = Workload.of(name, batch=args.batch, device=args.device, precision=args.precision)
        results["networks"].append(time_workload(workload, rounds=args.rounds, repeats=repeats))
        _write(args.out, args.device, results)
    _write(args.out, args.device, results)
    print(render(results))


def _write(folder: Path, device: str, results: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind = torch.device(device).type
    parts = [
        "speed",
        *([] if kind == "cpu" else [kind]),
        *([] if results["precision"] == "float32" else ["bfloat16"]),
    ]
    name = "-".join(parts)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
