"""How many images per second training and steering reach, against what the device's memory could move.

    python -m benchmarks.throughput --device cuda --out docs/results
    python -m benchmarks.throughput --tiny --out DIR

Each step is timed as its stage runs it, and alone on a batch that is ready: eager, compiled, and replayed as a CUDA
graph. Beside it stands the share of the bound: the least number of bytes that the step has to move
(benchmarks/memory_traffic.py), moved as fast as a large copy is. Networks are untrained; images are noise, or those of
``--data``: neither matters for the time. Every figure is written when it is measured, and those found in the file for
the same machine and settings are not measured again. Needs neither Ray, Optuna nor MLflow. Writes
throughput-DEVICE.json and throughput-DEVICE.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.memory_traffic import StepNumbers
from benchmarks.speed_steps import Workload
from benchmarks.throughput_page import NEEDS_CUDA, render
from benchmarks.throughput_steps import STEPS, WAYS, Plan, Way, count_numbers, images_for, make_rounds
from benchmarks.timing import clock, machine_facts, wait_for

_WARM_UP = 2  # rounds that are not counted
_TINY: dict[str, Any] = {
    "architecture": "cifar_resnet8", "batches": [8], "rounds": 2, "repeats": 1, "compiler": "eager",
}  # fmt: skip


def measure(
    args: argparse.Namespace, step: str, way: Way, workload: Workload, numbers: StepNumbers, bandwidth: float
) -> dict[str, Any]:
    """Time one kind of step in one way; say why if it cannot be run."""
    bound = workload.batch * bandwidth * 1e9 / numbers.least_bytes(step, workload.precision, workload.batch)
    found: dict[str, Any] = {"bound_images_per_s": round(bound, 1)}
    if way.is_graph and torch.device(workload.device).type != "cuda":
        return {**found, "problem": NEEDS_CUDA}
    try:
        seconds, prepared = _time(args, step, way, workload)
    except RuntimeError as error:  # of compilers, of captures, of memory: told in the table
        return {**found, "problem": _problem(error.__cause__ or error)}
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        **found,
        "prepared_s": round(prepared, 2),
        "ms": [round(1e3 * value, 4) for value in (low, median, high)],
        "images_per_s": round(workload.batch / median, 1),
        "share_of_bound": round(workload.batch / median / bound, 4),
    }


def _problem(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"failed: {type(error).__name__}: {lines[0][:120] if lines else ''}"


def _time(args: argparse.Namespace, step: str, way: Way, workload: Workload) -> tuple[list[float], float]:
    """Return the seconds of one step, one number per round, and those until the first round was done."""
    device, data = workload.device, images_for(workload, args.data)
    plan = Plan(rounds=args.rounds + _WARM_UP, repeats=args.repeats, compiler=args.compiler)
    with ExitStack() as stack:
        started = time.perf_counter()
        run = make_rounds(stack, step, way, workload, data, plan)
        run()
        wait_for(device)
        prepared = time.perf_counter() - started
        seconds = []
        for index in range(1, plan.rounds):
            began = clock(device)
            run()
            wait_for(device)
            if index >= _WARM_UP:
                seconds.append((clock(device) - began) / args.repeats)
    return seconds, prepared


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", default="cifar_resnet56")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument(
        "--precisions", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"]
    )
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--compiler", default="inductor", help="backend of torch.compile")
    parser.add_argument("--data", type=Path, help="an .npz file of images; default: noise")
    parser.add_argument("--device", default="cpu", help="as torch spells it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10, help="steps timed in a row")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument(
        "--tune", action="store_true", help="let cuDNN time its algorithms for every convolution"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="a small network, few steps, a compiler that does nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    if parser.parse_args(argv).tiny:
        parser.set_defaults(**_TINY)
    args = parser.parse_args(argv)
    args.command = "python -m benchmarks.throughput " + shlex.join(sys.argv[1:] if argv is None else argv)
    return args


def cells_of(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what names each figure; those that take no compiling come first."""
    for is_compiled in (False, True):
        for batch in args.batches:
            for precision in args.precisions:
                for step in args.steps:
                    for name in args.ways:
                        if WAYS[name].is_compiled is is_compiled and step in WAYS[name].steps:
                            yield {
                                "architecture": args.architecture,
                                "step": step,
                                "way": name,
                                "precision": precision,
                                "batch": batch,
                                "compiler": args.compiler if is_compiled else None,
                                "rounds": args.rounds,
                                "repeats": args.repeats,
                                "is_tuned": args.tune,
                            }


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table figure by figure."""
    args = read_arguments(argv)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = args.tune
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"throughput-{torch.device(args.device).type}.json"
    facts = machine_facts(args.device)
    results = _continued(path, facts) | {"command": args.command}
    bandwidth = results["facts"]["copy_gb_per_s"]
    numbers = count_numbers(Workload.of(args.architecture))
    results["numbers"] = {
        step: {"outputs": n.outputs, "pixels": n.pixels, "weights": n.weights} for step, n in numbers.items()
    }
    for wanted in cells_of(args):
        if any(wanted.items() <= cell.items() for cell in results["cells"]):
            continue
        workload = Workload.of(
            args.architecture, batch=wanted["batch"], device=args.device, precision=wanted["precision"]
        )
        step = wanted["step"]
        found = measure(args, step, WAYS[wanted["way"]], workload, numbers[step], bandwidth)
        results["cells"].append({**wanted, **found})
        print({**wanted, **found}, flush=True)
        _write(path, results)
    _write(path, results)


def _continued(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file holds if it is of this machine, with the bandwidth measured first; else an empty table."""
    empty: dict[str, Any] = {"facts": facts, "cells": []}
    if not path.exists():
        return empty
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    same = {**facts, "copy_gb_per_s": found["facts"]["copy_gb_per_s"]} == found["facts"]
    return found if same else empty


def _write(path: Path, results: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
