"""Does a pruned network explain its decisions as the dense one did? Runs of the ablation, measured.

    python -m benchmarks.fidelity --data data/cifar10.npz --store results/artifacts --out docs/results

The runs are those of benchmarks.ablation with the same options, and are taken from its store where they are finished.
Every network of a seed is explained by one selector, that of the gates with one basis function, by Grad-CAM and by
integrated gradients (needs prunefront[captum]), on the same validation images. Cells found in fidelity.json for
the same run, selector and images are not measured again, so it can be interrupted at any time.
Writes fidelity.json and fidelity.md.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.ablation import ablation_parser, as_finished, options_of
from benchmarks.ablation_rows import ROWS, make_config
from benchmarks.cells import Place, Table, fill_cells
from benchmarks.fidelity_page import render
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits, load_data, stratified_subset
from pruning_core.fidelity import DenseReference, load_captum
from pruning_core.stages import (
    ArtifactStore,
    fidelity_of_run,
    plan_run,
    run_stage,
    run_trial,
    study_dense_of_run,
)

MEASURED_ROWS = (
    "gates, frozen weights",
    "gates, frozen weights, steering 0",
    "gates, joint",
    "gates, joint, steering 0",
    "gates, joint, shuffled targets",
    "gates, joint, constant targets",
    "gates, joint, all groups",
    "gates, joint, from task-inspired",
    *(f"gates, joint, K = {k}" for k in (1, 2, 4, 8)),
    "task-inspired",
    "L1, uniform",
    "L1, uniform, taught by features too",
    "group L2, global",
    "random",
)
EXPLAINING_ROW = "gates, frozen weights"
"""The row whose selector explains every network of its seed."""


class Benchmark:
    """The data, the store, and per seed what its dense network says, found when it is first asked for."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.store = ArtifactStore(args.store)
        self.data: DataSplits = load_data(self._explaining_config(0).dataset)
        self._references: dict[int, DenseReference] = {}

    def identify(self, place: Place) -> dict[str, Any]:
        """Return what makes a cell what it is: its run, what explains it, and on how many images."""
        fingerprint = self.data.fingerprint
        return {
            "trial_key": plan_run(make_config(self.args, *place), fingerprint).trial_key,
            "selector_key": plan_run(self._explaining_config(place.seed), fingerprint).key_of("selector"),
            "num_images": self.args.measured,
        }

    def measure(self, place: Place) -> dict[str, Any]:
        """Finish a run and measure its network."""
        config = make_config(self.args, *place)
        reference = self._reference(place.seed)
        result = run_trial(config, data=self.data, store=self.store, device=self.args.device)
        started = time.process_time()
        fidelity = fidelity_of_run(config, reference, data=self.data, store=self.store)
        print(f"seed {place.seed}, MACs {place.macs:g}, {place.row}: measured", flush=True)
        return {
            "accuracy": result.accuracy,
            "dense_accuracy": result.num_correct_dense / result.num_images,
            "measuring_cpu_seconds": time.process_time() - started,
            "fidelity": asdict(fidelity),
        }

    def _reference(self, seed: int) -> DenseReference:
        if seed not in self._references:
            config, device = self._explaining_config(seed), self.args.device
            for stage in ("dense", "predictor", "selector"):
                run_stage(stage, config, data=self.data, store=self.store, device=device)
            images = stratified_subset(self.data.validation, self.args.measured, seed=0)
            self._references[seed] = study_dense_of_run(
                config, images, data=self.data, store=self.store, device=device
            )
        return self._references[seed]

    def _explaining_config(self, seed: int) -> PruningConfig:
        return make_config(self.args, EXPLAINING_ROW, self.args.budgets[0], seed)


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ablation_parser(__doc__, MEASURED_ROWS)
    parser.add_argument("--measured", type=int, default=256, help="validation images to explain")
    args = parser.parse_args(argv)
    rows = "" if tuple(args.rows) == MEASURED_ROWS else f" --rows {shlex.join(args.rows)}"
    args.command = f"{options_of(args)} --measured {args.measured}{rows}"
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table cell by cell; a seed is complete for all rows before the next one begins."""
    args = read_arguments(argv)
    torch.set_num_threads(args.threads)
    load_captum()  # before anything is trained
    benchmark = Benchmark(args)
    fill_cells(
        args,
        Table(
            name="fidelity",
            rows=ROWS,
            identify=benchmark.identify,
            measure=benchmark.measure,
            render=render,
            in_turn=lambda places: as_finished(args, places, benchmark.data),
        ),
    )


if __name__ == "__main__":
    main()
