"""The command line as users have it: in a process of its own, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_command", "start_command"]

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 500


def start_command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Type a command in a folder."""
    code = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from search.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def run_command(folder: Path, *arguments: str, exit_code: int = 0) -> tuple[str, str]:
    """Type a command, wait for its end, and return what it says on stdout and stderr."""
    with start_command(folder, *arguments) as process:
        try:
            out, err = process.communicate(timeout=_PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == exit_code, out + err
    return out, err
