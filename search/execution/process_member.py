"""One of the processes that run a work item together: ``python -m search.execution.process_member FOLDER PID``.

PID is of the worker that started it. Asking for it here would be too late: it may be gone before this process has
loaded its libraries.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pruning_core.distributed.membership import Place, device_of, joined, read_place
from search.backend import BackendSettings, PruningBackend
from search.disk import write_whole
from search.execution.process_group import OUTCOME, WORK
from search.execution.worker import execute_item, run_item
from search.stages_backend import StagesBackend
from search.work_items import WorkItem

__all__ = ["main"]

_POLL_S = 1.0
_PARENT_GONE = 1  # exit code


def main() -> None:
    """Do this process's part, and if it is the first, write what became of the item."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    work = json.loads((folder / WORK).read_text(encoding="utf-8"))
    settings = BackendSettings(**work["backend"])
    place = read_place(os.environ)

    def run_my_part(
        item: WorkItem, config: Mapping[str, Any], backend: PruningBackend
    ) -> Mapping[str, Any] | None:
        assert isinstance(backend, StagesBackend), "only real stages are run by several processes"
        return _run_my_part(item, config, settings, place)

    outcome = execute_item(WorkItem.from_plain(work["item"]), work["config"], settings, run_my_part)
    if place is None or place.rank == 0:
        write_whole(folder / OUTCOME, json.dumps(outcome.to_plain()))


def _run_my_part(
    item: WorkItem, config: Mapping[str, Any], settings: BackendSettings, place: Place | None
) -> Mapping[str, Any] | None:
    device = device_of(settings.device, place, num_gpus=torch.cuda.device_count())
    with joined(place, device) as processes:
        backend = StagesBackend(replace(settings, device=device), processes)
        return run_item(item, config, backend)


def _end_with(parent: int) -> None:
    """End this process when the worker that started it is gone."""
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(_PARENT_GONE)


if __name__ == "__main__":
    main()
