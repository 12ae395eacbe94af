"""What is noted about a study when it begins: when, where, by which code and of which versions."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from search.execution.slots import count_cpus

__all__ = ["birth_certificate", "commit_of"]

_PACKAGES = ("torch", "torchvision", "torch-pruning", "numpy", "ray", "optuna", "mlflow")
_PATIENCE_S = 5


def birth_certificate(facts: Mapping[str, object]) -> dict[str, object]:
    """Return what is noted about a study.

    Args:
        facts: About data, network and sampler.
    """
    commit = commit_of(Path.cwd())
    return {
        "id": uuid.uuid4().hex,
        "created_at": time.time(),
        "version": version("prunefront"),
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "num_cpus": count_cpus(),
            "num_gpus": torch.cuda.device_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
            **({} if commit is None else {"commit": commit}),
        },
        "facts": dict(facts),
    }


def commit_of(folder: Path) -> str | None:
    """Return the commit that a folder is at, with ``+`` if files differ from it; None outside Git's working trees.

    A spec and a user's own networks lie where a search is launched, so that tells which of their versions it was.
    """
    commit = _ask_git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}+" if _ask_git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _ask_git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - no shell, arguments of our own
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # a network folder that hangs is no reason not to search
    return done.stdout.strip() if done.returncode == 0 else None
