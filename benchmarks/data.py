"""Fetch a public data set as one .npz file: ``python -m benchmarks.data cifar10 --out DIR``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, FashionMNIST

from pruning_core.data.torchvision_sets import TorchvisionSetType, fetch_arrays
from pruning_core.errors import InvalidDataError

SETS: dict[str, TorchvisionSetType] = {"cifar10": CIFAR10, "fashion_mnist": FashionMNIST}


def write_archive(name: str, folder: Path, set_type: TorchvisionSetType) -> Path:
    """Write ``folder/NAME.npz`` with x_train, y_train, x_test, y_test and classes; keep it if it is there.

    torchvision's files stay in ``folder/downloads``; the archive appears only when it is complete.

    Raises:
        InvalidDataError: The set cannot be downloaded.
    """
    target = folder / f"{name}.npz"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    arrays = fetch_arrays(set_type, str(folder / "downloads"), name)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as temporary:
        partial = Path(temporary) / target.name
        np.savez(partial, **arrays)
        partial.replace(target)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch what the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("name", choices=sorted(SETS))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of NAME.npz")
    options = parser.parse_args(arguments)
    try:
        print(write_archive(options.name, options.out.expanduser(), SETS[options.name]))
    except (InvalidDataError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
