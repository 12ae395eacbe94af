"""What runs in a worker process: one work item, without Optuna or MLflow, and without ever raising.

A trainable that raises costs its process, and with it the loaded libraries and data; so what goes wrong in a
pruning run is handed back as a status with a reason.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

from pruning_core.config import load_config
from pruning_core.errors import ClusterError, InfeasibleBudgetsError, PrunefrontError, StorageError
from search.backend import BackendSettings, PruningBackend, load_backend
from search.disk import is_storage_failure
from search.execution.device_check import is_device_usable
from search.execution.freed_memory import return_freed_memory
from search.execution.process_group import execute_together
from search.execution.smaller_batches import is_out_of_memory
from search.outcomes import ItemOutcome, OutcomeStatus, this_process
from search.work_items import ItemKind, WorkItem

__all__ = [
    "IS_SPENT",
    "METRIC",
    "execute_item",
    "fit_backend",
    "pack_item",
    "pack_meeting",
    "pack_wait",
    "run_item",
    "run_work_item",
    "unpack_outcome",
]

METRIC = "num_items"
"""What every report to Ray Tune must carry; the search itself does not look at it."""

IS_SPENT = "is_spent"
"""In the report of an item: whether its process cannot run another one."""

_PACKED = "packed"
_OUTCOME = "outcome"

_LONGEST_WAIT_S = 10.0
_LONGEST_MEETING_S = 60.0
_LONGEST_LOOK_S = 10.0  # network file systems remember for a while that a file was not there
_LONG_ENOUGH_TO_FREE_S = 1.0  # giving memory back takes tens of milliseconds
_POLL_S = 0.1


def pack_item(item: WorkItem, config: Mapping[str, Any], backend: BackendSettings) -> dict[str, str]:
    """Return the configuration of the Ray trial that runs an item; ``config``: a `PruningConfig` as plain data."""
    packed = {"item": item.to_plain(), "config": config, "backend": backend.to_plain()}
    return {_PACKED: json.dumps(packed)}


def pack_wait(stage_keys: Sequence[str], backend: BackendSettings) -> dict[str, str]:
    """Return the configuration of a Ray trial that waits for one of the stages that other workers build.

    Ray Tune ends a worker that has nothing to do. Starting another takes as long as a short stage, so one that
    will be needed in a moment gets this, which costs nothing, and loads its libraries meanwhile.
    """
    return {_PACKED: json.dumps({"wait_for": list(stage_keys), "backend": backend.to_plain()})}


def pack_meeting(folder: Path, num_workers: int) -> dict[str, str]:
    """Return the configuration of a Ray trial that lasts until so many workers are up, each of which has one.

    Ray Tune gives an item that waits for a new worker to whichever worker is free first, and ends the new one while
    it starts. With items shorter than a start, the first worker would do everything.

    Args:
        folder: Seen by all workers; each leaves a file there.
        num_workers: How many meet.
    """
    return {_PACKED: json.dumps({"meet_in": str(folder), "num_workers": num_workers})}


def unpack_outcome(report: Mapping[str, Any]) -> ItemOutcome:
    """Read the outcome from a Ray trial's last report."""
    return ItemOutcome.from_plain(json.loads(report[_OUTCOME]))


def run_work_item(config: Mapping[str, Any]) -> None:
    """Run one work item: Ray Tune's trainable."""
    packed = json.loads(config[_PACKED])
    if "meet_in" in packed:
        _meet(Path(packed["meet_in"]), packed["num_workers"])
        tune.report({METRIC: 0})
        return
    settings = BackendSettings(**packed["backend"])
    if "wait_for" in packed:
        _wait(packed["wait_for"], settings)
        tune.report({METRIC: 0})
        return
    execute = execute_item if settings.num_processes == 1 else execute_together
    outcome = execute(WorkItem.from_plain(packed["item"]), packed["config"], settings)
    is_spent = not _make_ready(outcome, settings.device)
    tune.report({METRIC: 1, _OUTCOME: json.dumps(outcome.to_plain()), IS_SPENT: is_spent})


def run_item(item: WorkItem, config: Mapping[str, Any], backend: PruningBackend) -> Mapping[str, Any] | None:
    """Run a stage, or a trial up to a rung or to its end; return the result of the latter."""
    settings = load_config(config)
    if item.kind is ItemKind.STAGE:
        backend.run_stage(item.name, settings)
        return None
    if item.until is not None:
        return backend.run_rung(settings, item.until)
    return backend.run_trial(settings)


def execute_item(
    item: WorkItem,
    config: Mapping[str, Any],
    settings: BackendSettings,
    run: Callable[[WorkItem, Mapping[str, Any], PruningBackend], Mapping[str, Any] | None] = run_item,
) -> ItemOutcome:
    """Run an item in this process; whatever goes wrong becomes the outcome."""
    started_at = time.time()
    result: Mapping[str, Any] | None = None
    reason: str | None = None
    trace: str | None = None
    try:
        backend = fit_backend(item, config, settings)
        started_at = time.time()  # importing the libraries is no part of the work
    except Exception as error:  # noqa: BLE001 - the border of the process: the driver decides what follows
        status, reason, trace = OutcomeStatus.UNFIT_MACHINE, _one_line(error), traceback.format_exc()
    else:
        try:
            result = run(item, config, backend)
            status = OutcomeStatus.COMPLETE
        except Exception as error:  # noqa: BLE001 - likewise
            status, reason, trace = _status_of(error), _one_line(error), traceback.format_exc()
    return ItemOutcome(
        status=status,
        started_at=started_at,
        finished_at=time.time(),
        reason=reason,
        traceback=trace,
        result=result,
        **this_process(),
    )


def fit_backend(item: WorkItem, config: Mapping[str, Any], settings: BackendSettings) -> PruningBackend:
    """Make the backend, and find out whether this machine would run the item that the driver means.

    An item's key is a hash of settings, data, plug-ins and the versions of its stages, so it tells whether all of them
    are what the driver has.

    Raises:
        ClusterError: Something of them is not, or this machine does not see the folder of artifacts.
        Exception: Whatever a library, a plug-in or the data cannot be loaded for.
    """
    if settings.seen_by_all is not None:
        _check_seen(Path(settings.seen_by_all))
    backend = load_backend(settings)
    found = backend.plan(load_config(config)).key_of(item)
    if found != item.key:
        raise ClusterError(
            f"every machine must have the driver's data, plug-ins and version of prunefront, but here {item.name!r} of "
            f"trial {item.number} has key {found} instead of {item.key}"
        )
    return backend


def _make_ready(outcome: ItemOutcome, device: str) -> bool:
    """Give back an item's memory, and tell whether this process can run another one; raises nothing."""
    if outcome.status is not OutcomeStatus.COMPLETE and not is_device_usable(device):
        return False
    if outcome.finished_at - outcome.started_at > _LONG_ENOUGH_TO_FREE_S:
        try:
            return_freed_memory()
        except Exception:  # noqa: BLE001 - it must not hide what became of the item
            return is_device_usable(device)
    return True


def _check_seen(path: Path) -> None:
    _poll(path.exists, _LONGEST_LOOK_S)
    if not path.exists():
        raise ClusterError(
            f"every machine must see the folder of artifacts, but this one has no {path}; share storage.path between "
            "them, at the same place, or set storage.artifacts to an object store"
        )


def _meet(folder: Path, num_workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{socket.gethostname()}-{os.getpid()}").touch()
    _poll(lambda: len(list(folder.iterdir())) >= num_workers, _LONGEST_MEETING_S)


def _wait(stage_keys: Sequence[str], settings: BackendSettings) -> None:
    backend = load_backend(settings)

    def is_over() -> bool:
        try:
            return any(backend.has_artifact(key) for key in stage_keys)
        except StorageError:
            return True  # an item will meet it too, and say so

    _poll(is_over, _LONGEST_WAIT_S)


def _poll(is_over: Callable[[], bool], patience_s: float) -> None:
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at and not is_over():
        time.sleep(_POLL_S)


def _status_of(error: Exception) -> OutcomeStatus:
    if isinstance(error, InfeasibleBudgetsError):
        return OutcomeStatus.INFEASIBLE
    if is_storage_failure(error):
        return OutcomeStatus.NO_STORAGE
    return OutcomeStatus.NO_MEMORY if is_out_of_memory(error) else OutcomeStatus.FAILED


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else "no message"
    return text if isinstance(error, PrunefrontError) else f"{type(error).__name__}: {text}"
