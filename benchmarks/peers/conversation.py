"""Our end of the pipe to a peer's runner: gives the task, answers from a recording, takes what was run."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.peers.environments import PeerError
from benchmarks.peers.runners.pipe import Measured, Run, Task

__all__ = ["Answer", "converse"]

Answer = Callable[[Mapping[str, Any]], Sequence[Measured]]

_ROOT = Path(__file__).parents[2]
_LAST_LINES = 3


def converse(
    python: Path, runner: Sequence[str], task: Task, answer: Answer, *, limit_s: float = 1800.0
) -> list[Run]:
    """Run a peer's loop on a task.

    Args:
        python: Interpreter of the peer's environment.
        runner: Module and arguments.
        task: What to do.
        answer: Configuration to what it scores at every epoch of the task, ascending.
        limit_s: Real seconds after which it is given up.

    Returns:
        The configurations that were begun.

    Raises:
        PeerError: It ended without saying what it ran.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - runners are ours
            [python, "-m", *runner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"},
        )
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            runs = _talk(process, task, answer)
        finally:
            timer.cancel()
            process.kill()
            process.communicate()
        if runs is None:
            raise PeerError(
                f"runner {' '.join(runner)} must say what it ran within {limit_s:g} s, but ended with: "
                f"{_last_lines(errors)}; leave the peer out with --rows"
            )
        return runs


def _talk(process: subprocess.Popen[str], task: Task, answer: Answer) -> list[Run] | None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        _say(process.stdin, task)
        for line in process.stdout:
            said = json.loads(line)
            if "runs" in said:
                runs: list[Run] = said["runs"]
                return runs
            _say(process.stdin, answer(said["ask"]))
    except BrokenPipeError:
        return None  # what it wrote before it ended is the caller's to tell
    return None


def _say(stream: IO[str], plain: object) -> None:
    stream.write(json.dumps(plain) + "\n")
    stream.flush()


def _last_lines(errors: IO[str]) -> str:
    errors.seek(0)
    return " ".join(errors.read().strip().splitlines()[-_LAST_LINES:]) or "nothing"
