"""What has to run where there is nothing but torch, torchvision, torch-pruning and a few small packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import make_images

ROOT = Path(__file__).parents[2]
ALONE = ("ablation", "criteria", "data", "fidelity", "quality", "speed", "steering", "throughput")
"""Benchmarks that need what pruning_core needs; fidelity needs captum as well, when it runs."""
REFUSED = (
    "captum", "jinja2", "mlflow", "moocore", "onnx", "onnxruntime", "onnxscript", "optuna", "pandas", "plotly", "ray",
    "rich", "sklearn", "timm", "typer", "search", "spaces", "reports",
)  # fmt: skip
PROGRAM = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({REFUSED!r}))  # None there is as good as not installed
for name in {ALONE!r}:
    importlib.import_module("benchmarks." + name)
from pruning_core.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
RUN = """
architecture: {name: cifar_resnet8, width: 0.25}
dataset: {name: npz, root: data.npz}
dense_training: {epochs: 1, batch_size: 32}
method: l1
fine_tuning: {epochs: 1, batch_size: 32}
"""


@pytest.mark.slow
def test_a_run_and_the_benchmarks_of_runs_need_no_search_and_nothing_of_what_it_needs(tmp_path: Path) -> None:
    images = make_images(80, seed=0)
    pixels, labels = images.images_NCHW.permute(0, 2, 3, 1).numpy(), images.labels_N.numpy()
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels, x_test=pixels[:16], y_test=labels[:16])
    (tmp_path / "run.yaml").write_text(RUN, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "run.yaml"), "--store", str(tmp_path / "results")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "fine-tuned" in ended.stdout
