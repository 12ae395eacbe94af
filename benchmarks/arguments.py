"""The command lines that benchmarks share: reading a study, and pruning on a subset of CIFAR-10."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.study_folder import StudyFolder

__all__ = ["StudyArguments", "cifar_dataset", "cifar_parser", "read_study_arguments"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyArguments:
    """``study``: what to read. ``out``: folder to write to; need not exist."""

    study: StudyFolder
    out: Path


def read_study_arguments(description: str | None, arguments: Sequence[str] | None) -> StudyArguments:
    """Read ``STUDY [--storage DIR] [--out DIR]``.

    Args:
        description: Shown by ``--help`` as it is.
        arguments: Of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("--storage", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    return StudyArguments(study=StudyFolder(options.storage, options.study), out=options.out)


def cifar_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what pruning on CIFAR-10 needs: data, store, output, architecture, subset, dense training."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="cifar10.npz, from python -m benchmarks.data"
    )
    parser.add_argument("--store", type=Path, default=Path("results/artifacts"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--architecture", default="cifar_resnet20")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dense-epochs", type=int, default=15)
    return parser


def cifar_dataset(options: argparse.Namespace) -> dict[str, Any]:
    """Return the ``dataset`` section for a parsed command line: a stratified subset, a quarter of it for validation."""
    return {
        "name": "npz",
        "root": str(options.data),
        "train_images": options.images,
        "validation_share": 0.25,
    }
