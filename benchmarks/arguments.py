"""The command line that benchmarks on a subset of CIFAR-10 share; needs no more than pruning_core does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_ALL = 50_000


def cifar_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what pruning on CIFAR-10 needs: data, store, output, machine, architecture, dense training."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="cifar10.npz, from python -m benchmarks.data"
    )
    parser.add_argument("--store", type=Path, default=Path("results/artifacts"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--device", default="cpu", help="as torch spells it")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, in each process")
    parser.add_argument("--architecture", default="cifar_resnet20")
    parser.add_argument("--images", type=int, default=10_000, help="of the training images; 50000 are all")
    parser.add_argument("--validation-share", type=float, default=0.25, help="of these images")
    parser.add_argument("--dense-epochs", type=int, default=15)
    return parser


def cifar_dataset(options: argparse.Namespace) -> dict[str, Any]:
    """Return the ``dataset`` section for a parsed command line: a stratified subset, or all images as they come."""
    return {
        "name": "npz",
        "root": str(options.data),
        "train_images": options.images if options.images < _ALL else None,
        "validation_share": options.validation_share,
    }


def cell_settings(options: argparse.Namespace, macs: float, seed: int) -> dict[str, Any]:
    """Return what the runs of a table on CIFAR-10 share at a budget and a seed, by dotted names."""
    return {
        "architecture.name": options.architecture,
        "dataset": cifar_dataset(options),
        "dense_training.epochs": options.dense_epochs,
        "dense_seed": seed,
        "seed": seed,
        "budgets.macs": macs,
        "channels.round_to": 1,
    }
