"""One pruning run from the command line: ``python -m pruning_core RUN.yaml``, without Ray, Optuna or MLflow.

On several devices: ``torchrun --nproc-per-node 4 -m pruning_core RUN.yaml --device cuda``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from pruning_core.compiling import check_compiler
from pruning_core.config import PruningConfig
from pruning_core.data import load_data
from pruning_core.distributed.membership import device_of, joined, read_place
from pruning_core.distributed.processes import Processes
from pruning_core.errors import PrunefrontError
from pruning_core.progress import ProgressReporter, report_nothing
from pruning_core.run_file import read_run_file
from pruning_core.stages import ArtifactStore, RunResult, preflight, run_trial

BAD_INPUT = 2  # exit code
_SECONDS_BETWEEN_LINES = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = read_run_file(options.run)
        place = read_place(os.environ)
        device = device_of(options.device, place, num_gpus=torch.cuda.device_count())
        check_compiler(options.compile)
        with joined(place, device) as processes:
            run_once(config, options.store, device=device, processes=processes, compiler=options.compile)
    except PrunefrontError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return BAD_INPUT
    return 0


def run_once(
    config: PruningConfig,
    folder: Path,
    *,
    device: str,
    processes: Processes,
    compiler: str | None = None,
) -> RunResult:
    """Run what is missing of a run, print what came out and write it to ``folder/runs/KEY.json``.

    Raises:
        PrunefrontError: What has to be mended before the run can go on.
    """
    data = load_data(config.dataset)
    preflight(config, data)
    result = run_trial(
        config,
        data=data,
        store=ArtifactStore(folder / "artifacts"),
        device=device,
        report=_line_printer() if processes.is_first else report_nothing,
        processes=processes,
        compiler=compiler,
    )
    if processes.is_first:
        path = folder / "runs" / f"{result.trial_key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result.to_plain(), indent=2) + "\n", encoding="utf-8")
        _print(*_describe(result), f"result: {path}")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pruning_core",
        description="One pruning run: dense network, selection, slim network. What is finished is not run again.",
    )
    parser.add_argument(
        "run", metavar="RUN.yaml", type=Path, help="fields of PruningConfig; {} is all defaults"
    )
    parser.add_argument("--store", metavar="DIR", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--device", default="cpu", help="as torch spells it: cpu, cuda (default: cpu)")
    parser.add_argument(
        "--compile",
        metavar="BACKEND",
        help="compile classifiers that are trained: inductor, cudagraphs (default: do not)",
    )
    return parser


def _line_printer() -> ProgressReporter:
    """Return a reporter that prints a line when a stage begins to tell of its steps, ends, or some time has passed."""
    last: dict[str, float] = {}

    def report(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage not in last or done == total or now - last[stage] > _SECONDS_BETWEEN_LINES:
            last[stage] = now
            _print(f"{stage:<12} step {done} of {total}")

    return report


def _describe(result: RunResult) -> list[str]:
    stages = [
        f"{name:<12} {seconds:8.1f} s" + ("  found finished" if name in result.cached_stages else "")
        for name, seconds in result.stage_seconds.items()
    ]
    accuracies = {
        "dense": result.num_correct_dense,
        "after removal": result.num_correct_after_removal,
        "fine-tuned": result.num_correct_fine_tuned,
    }
    shown = ", ".join(f"{name} {count / result.num_images:.1%}" for name, count in accuracies.items())
    return [
        *stages,
        f"accuracy      {shown} on {result.num_images} validation images",
        f"FLOPs (MACs)  {result.macs:,} of {result.dense_macs:,} ({result.macs / result.dense_macs:.1%})",
        f"params        {result.params:,} of {result.dense_params:,} ({result.params / result.dense_params:.1%})",
    ]


def _print(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
