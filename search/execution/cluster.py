"""A search on the machines of a Ray cluster that runs already."""

from __future__ import annotations

import logging
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from pruning_core.errors import ClusterError, InvalidSettingsError
from search.execution.ray_session import PRIVATE, prepare_driver, temporary_folder
from search.execution.shipped_code import package_folders, stage_plug_ins
from search.execution.slots import count_trials_on_gpus
from search.spec_settings import ResourcesConfig

__all__ = ["check_address", "count_cluster_slots", "count_fitting", "joined_cluster", "machines"]

_LONGEST_KNOCK_S = 10.0
_ADDRESS = re.compile(r"auto|(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")


def check_address(address: str) -> None:
    """Refuse what is no address of a cluster that a driver can join.

    Raises:
        InvalidSettingsError: Says what an address looks like.
    """
    if not _ADDRESS.fullmatch(address):
        hint = (
            "; run prunefront on a machine of the cluster, such as its head, instead of through Ray's client"
            if address.startswith("ray://")
            else ""
        )
        raise InvalidSettingsError(
            f"--address must be auto (the cluster of this machine) or HOST:PORT of its head, "
            f"but got {address!r}{hint}"
        )


@contextmanager
def joined_cluster(address: str, *, environment: Mapping[str, str], plug_ins: str | None) -> Iterator[Path]:
    """Join a cluster for as long as the context lasts; yields a folder for this process's temporary files.

    Workers get this package and the plug-ins as they are here.

    Args:
        address: See `check_address`; this machine must be one of the cluster.
        environment: Of workers.
        plug_ins: Folder of the spec's plug-ins; None: there are none.

    Raises:
        ClusterError: There is no such cluster, it is another search's own, or of another version of Ray or Python.
    """
    prepare_driver()
    folder = temporary_folder()
    try:
        modules = package_folders()
        if plug_ins is not None:
            modules.append(str(stage_plug_ins(Path(plug_ins), folder)))
        _connect(address, {"env_vars": dict(environment), "py_modules": modules})
        _check_public(address)
        yield folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str, runtime_env: Mapping[str, Any]) -> None:
    if address != "auto":
        _check_answers(address)  # Ray would try for minutes
    try:
        ray.init(
            address=address, runtime_env=dict(runtime_env), log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, error) from error


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_LONGEST_KNOCK_S).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ClusterError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ClusterError(
        f"--address {address} must be a Ray cluster that this machine is part of, but: {first_line}; "
        "`ray status` says whether there is one, `ray start --address=HOST:PORT` makes this machine one of it"
    )


def _check_public(address: str) -> None:
    if any(PRIVATE in node["Resources"] for node in machines()):
        raise ClusterError(
            f"--address {address} must be a cluster for everybody, but what is there is the Ray of another search on "
            "this machine; give HOST:PORT of the cluster's head, or leave --address out to search on this machine"
        )


def machines() -> Sequence[Mapping[str, Any]]:
    """Return the cluster's machines, as Ray describes them."""
    found: Sequence[Mapping[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def count_cluster_slots(resources: ResourcesConfig, nodes: Sequence[Mapping[str, Any]]) -> int:
    """Return the slots that were asked for, or as many as fit the machines that are alive.

    More may be asked for than fit now: a cluster that grows on demand adds machines.

    Args:
        resources: Of a trial.
        nodes: See `machines`.

    Raises:
        InvalidSettingsError: No machine is large enough for one trial, and no number of slots is given.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    fitting = sum(count_fitting(resources, machine) for machine in alive)
    if resources.slots is None and fitting == 0:
        largest = ", ".join(
            f"{max((machine.get(name, 0) for machine in alive), default=0):g} {label}"
            for name, label in (("CPU", "CPUs"), ("GPU", "GPUs"))
        )
        raise InvalidSettingsError(
            f"'resources': a machine of the cluster must have {resources.cpus_per_trial} CPUs and "
            f"{resources.gpus_per_trial:g} GPUs for one trial, but the most that one has is {largest}; set "
            "resources.slots if the cluster adds larger ones on demand"
        )
    return resources.slots or fitting


def count_fitting(resources: ResourcesConfig, machine: Mapping[str, float]) -> int:
    """Return how many trials fit a machine with nothing else on it; ``machine``: all that it has, as Ray names it."""
    fitting = int(machine.get("CPU", 0) // resources.cpus_per_trial)
    if resources.gpus_per_trial > 0:
        return min(fitting, count_trials_on_gpus(machine.get("GPU", 0), resources.gpus_per_trial))
    return fitting
