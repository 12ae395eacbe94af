"""One work item by several processes of one machine, each with a GPU of its own where there are any.

A worker that Ray started does nothing itself then: it starts `search.execution.process_member` as often as asked, and
hands back what the first of them found out.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.backend import BackendSettings
from search.outcomes import ItemOutcome, OutcomeStatus, this_process
from search.work_items import WorkItem

__all__ = ["OUTCOME", "WORK", "execute_together"]

WORK, OUTCOME = "work.json", "outcome.json"
"""Files by which both sides talk."""

_LONGEST_GOODBYE_S = 30.0  # between the end of the first process and that of the others
_POLL_S = 0.1


def execute_together(item: WorkItem, config: Mapping[str, Any], settings: BackendSettings) -> ItemOutcome:
    """Run an item with ``settings.num_processes`` processes and wait for them; whatever they do becomes the outcome."""
    started_at = time.time()
    with tempfile.TemporaryDirectory(prefix="prunefront-") as name:
        folder = Path(name)
        work = {"item": item.to_plain(), "config": config, "backend": settings.to_plain()}
        (folder / WORK).write_text(json.dumps(work), encoding="utf-8")
        members = _start(folder, settings)
        try:
            _wait(members)
        finally:
            _end(members)
        if (folder / OUTCOME).is_file():
            return ItemOutcome.from_plain(json.loads((folder / OUTCOME).read_text(encoding="utf-8")))
        return ItemOutcome(
            status=OutcomeStatus.FAILED,
            reason=_why(folder, members),
            started_at=started_at,
            finished_at=time.time(),
            **this_process(),
        )


def _start(folder: Path, settings: BackendSettings) -> list[subprocess.Popen[bytes]]:
    shared = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(settings.num_threads),
        "MKL_NUM_THREADS": str(settings.num_threads),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(settings.num_processes),
    }
    members = []
    for rank in range(settings.num_processes):
        with (folder / f"log-{rank}").open("wb") as log:
            members.append(
                subprocess.Popen(  # noqa: S603 - our own module
                    [sys.executable, "-m", "search.execution.process_member", str(folder), str(os.getpid())],
                    env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=log,
                    stderr=log,
                )
            )
    return members


def _wait(members: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for the first process, and then not much longer for the others, which end with it."""
    members[0].wait()
    give_up_at = time.monotonic() + _LONGEST_GOODBYE_S
    while time.monotonic() < give_up_at and any(member.poll() is None for member in members):
        time.sleep(_POLL_S)


def _end(members: Sequence[subprocess.Popen[bytes]]) -> None:
    for member in members:
        if member.poll() is None:
            member.kill()
        member.wait()


def _why(folder: Path, members: Sequence[subprocess.Popen[bytes]]) -> str:
    code = members[0].returncode
    ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
    said = (folder / "log-0").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"the first of the trial's {len(members)} processes ended {ended}: {said[-1] if said else 'it said nothing'}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
