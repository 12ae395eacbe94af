"""Run an exported file in a process of its own that can import nothing else: what who deploys it has."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pruning_core.export import INPUT_LINES, LOADING_LINES

OURS = ("benchmarks", "pruning_core", "reports", "search", "spaces")
HIDDEN: dict[str, tuple[str, ...]] = {
    "onnx": (*OURS, "torch", "onnx"),
    "pt2": (*OURS, "onnx", "onnxruntime", "safetensors"),
    "safetensors": ("benchmarks", "reports", "search", "spaces"),
    "int8": (*OURS, "torch", "onnx"),
}
"""By exporter: packages that cannot be imported where its file is run."""

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunAlone:
    """What a process printed, and the logits it found, ``_NC``."""

    printed: str
    logits_NC: npt.NDArray[np.float32]


def run_alone(folder: Path, name: str, scratch: Path, lines: str | None = None) -> RunAlone:
    """Load a file by the lines that are written for it, and run the images of ``example.npz`` through it.

    Args:
        folder: An export.
        name: The exporter that wrote the file, or ``int8``.
        scratch: A folder to write to.
        lines: Python to run; None: what `LOADING_LINES` says.

    Raises:
        RuntimeError: The process failed; says with what.
    """
    target = scratch / f"{name}.npy"
    hide = f"import sys; sys.modules.update(dict.fromkeys({list(HIDDEN[name])})); sys.path.insert(0, {str(_ROOT)!r})\n"
    keep = f"np.save({str(target)!r}, logits)\n"
    code = hide + (INPUT_LINES + LOADING_LINES[name] if lines is None else lines) + keep
    command = [sys.executable, "-c", code]  # our own lines
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise RuntimeError(f"{name} of {folder} must run alone, but: {done.stderr}")
    return RunAlone(printed=done.stdout, logits_NC=np.load(target))


def put_images(folder: Path, pixels_NCHW: npt.NDArray[np.uint8], logits_NC: npt.NDArray[Any]) -> None:
    """Put other images, with the logits they should have, in place of an export's example; its sum is struck off."""
    np.savez(folder / "example.npz", pixels=pixels_NCHW, logits=logits_NC)
    path = folder / "checksums.json"
    checksums = json.loads(path.read_text(encoding="utf-8"))
    checksums.pop("example.npz", None)
    path.write_text(json.dumps(checksums), encoding="utf-8")
