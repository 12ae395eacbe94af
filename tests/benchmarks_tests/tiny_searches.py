"""The table of `benchmarks.search_quality` on a network and data so small that a search takes seconds."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import search_quality
from benchmarks.quality_rows import Preset
from tests.synthetic import make_images

TINY = Preset(
    title="A tiny network",
    file="tiny.npz",
    architecture={"name": "cifar_resnet8", "width": 0.5},
    validation_share=0.25,
    num_train=192,
    dense_epochs=2,
    epochs=2,
    budgets=(1.0,),
    changes={"dense_training.batch_size": 32, "fine_tuning.batch_size": 32},
)


def write_tiny_data(folder: Path) -> Path:
    """Write the data into a folder; returns the folder."""
    images = make_images(256, seed=0)
    pixels, labels = images.images_NCHW.permute(0, 2, 3, 1).numpy(), images.labels_N.numpy()
    np.savez(folder / TINY.file, x_train=pixels, y_train=labels, x_test=pixels[:64], y_test=labels[:64])
    return folder


def fill_tiny(root: Path, *rows: str) -> list[Any]:
    """Fill some rows, each search with the epochs of two networks; returns all cells."""
    args = Namespace(
        preset="tiny",
        data=root,
        results=root / "results",
        out=root / "out",
        environments=root / "peers",
        epochs=2 * TINY.epochs,
        slots=1,
        device="cpu",
        threads=1,
        seeds=[0],
        rows=list(rows),
    )
    return search_quality.fill(args, TINY)
