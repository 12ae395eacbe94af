"""Joining the processes that ``torchrun`` started, and ending together when one of them fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import InvalidSettingsError, LostProcessError, PrunefrontError

STEP_TIMEOUT = timedelta(minutes=10)
"""How long a step together waits for a process that neither comes nor ends."""
STAGE_TIMEOUT = timedelta(days=7)
"""How long the others wait for a stage that the first process builds alone."""
_SIGNS_OF_A_LOST_PROCESS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Timed out",
    "Broken pipe",
)
_FAILURE = "failure"  # key in the store that all processes see


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What ``torchrun`` says of this process: number ``rank`` of ``count``, and ``local_rank`` on this machine."""

    rank: int
    count: int
    local_rank: int


def read_place(environment: Mapping[str, str]) -> Place | None:
    """Read the variables that ``torchrun`` sets; None if it did not start this process, or no other one.

    Raises:
        InvalidSettingsError: Some of them are missing or are no numbers.
    """
    if environment.get("WORLD_SIZE", "1") == "1":
        return None
    numbers: list[int] = []
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        text = environment.get(name, "")
        if not text.isdecimal():
            raise InvalidSettingsError(
                f"{name} must be a number where WORLD_SIZE is set, but is {text!r}; start with torchrun"
            )
        numbers.append(int(text))
    return Place(rank=numbers[0], count=numbers[1], local_rank=numbers[2])


def device_of(device: str, place: Place | None, *, num_gpus: int) -> str:
    """Return the device of one process: its own GPU of the machine, or what was asked for.

    Raises:
        InvalidSettingsError: There is no such GPU, or all processes would share one.
    """
    if not device.startswith("cuda"):
        return device
    if num_gpus == 0:
        raise InvalidSettingsError(f"device {device!r} needs a GPU that torch can use, but there is none")
    if place is None:
        return device
    if device != "cuda":
        raise InvalidSettingsError(
            f"the device must be 'cuda' where several processes take a GPU each, but got {device!r}"
        )
    if place.local_rank >= num_gpus:
        raise InvalidSettingsError(
            f"every process needs a GPU of its own, but this is number {place.local_rank + 1} on a machine with "
            f"{num_gpus}; start with --nproc-per-node {num_gpus}"
        )
    return f"cuda:{place.local_rank}"


@contextmanager
def joined(place: Place | None, device: str) -> Iterator[Processes]:
    """Work together with the other processes, if there are any, until the end of the block.

    What one process raises is told to the others, whose next step together ends with a ``LostProcessError`` that
    names it.

    Args:
        place: From ``read_place``; None works alone.
        device: As torch spells it, of this process.

    Raises:
        LostProcessError: Another process failed or ended.
    """
    if place is None:
        yield ALONE
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    store, rank, count = next(iter(rendezvous("env://", timeout=STEP_TIMEOUT)))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo",
        store=PrefixStore("steps", store),
        rank=rank,
        world_size=count,
        timeout=STEP_TIMEOUT,
    )
    waiting_group = dist.new_group(backend="gloo", timeout=STAGE_TIMEOUT)
    assert isinstance(waiting_group, dist.ProcessGroup)  # what is no member of a group gets a number instead
    try:
        yield Processes(rank=rank, count=count, waiting_group=waiting_group)
    except Exception as error:
        _end_with_the_others(error, store, place)
        raise
    dist.destroy_process_group()


def _end_with_the_others(error: Exception, store: Store, place: Place) -> None:
    """Tell the others why this process ends, or raise which of them ended before."""
    reason = _failure_of_another(store) if isinstance(error, RuntimeError) else None
    sign = _sign_of_a_lost_process(error)
    if reason is None and sign is not None:
        reason = f"one ended without a word, or hangs ({sign})"
    if reason is not None:
        raise LostProcessError(
            f"all {place.count} processes must go on together, but {reason}; mend that, and start all of them again"
        ) from error
    text = (
        str(error) if isinstance(error, PrunefrontError) else f"{type(error).__name__}: {_first_line(error)}"
    )
    store.set(_FAILURE, f"process {place.rank} ended: {text}")


def _failure_of_another(store: Store) -> str | None:
    try:
        return store.get(_FAILURE).decode() if store.check([_FAILURE]) else None
    except RuntimeError:  # the process that held the store is gone as well
        return None


def _sign_of_a_lost_process(error: Exception) -> str | None:
    """Return what torch says of a process that cannot be reached; None of any other error."""
    if not isinstance(error, RuntimeError):
        return None
    return next((sign for sign in _SIGNS_OF_A_LOST_PROCESS if sign in str(error)), None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
