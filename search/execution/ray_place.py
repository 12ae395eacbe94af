"""Where a search runs: a Ray of its own on this machine, or a cluster that runs already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.execution.cluster import count_cluster_slots, joined_cluster, machines
from search.execution.ray_session import local_ray, worker_environment
from search.execution.slots import count_slots
from search.spec import SearchSpec

__all__ = ["RayPlace", "open_cluster", "open_here"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RayPlace:
    """``folder``: of this machine, for temporary files. ``slots``: how many items run at once."""

    folder: Path
    slots: int
    is_cluster: bool


@contextmanager
def open_here(spec: SearchSpec) -> Iterator[RayPlace]:
    """Start Ray on this machine for as long as the context lasts.

    Raises:
        InvalidSettingsError: One trial needs more than the machine has.
    """
    slots, resources = count_slots(spec.resources), spec.resources
    with local_ray(
        num_cpus=slots * resources.cpus_per_trial,
        use_gpus=resources.gpus_per_trial > 0,
        environment=worker_environment(resources.cpus_per_trial),
    ) as folder:
        yield RayPlace(folder=folder, slots=slots, is_cluster=False)


@contextmanager
def open_cluster(spec: SearchSpec, address: str) -> Iterator[RayPlace]:
    """Join a cluster for as long as the context lasts; see `joined_cluster`.

    Raises:
        ClusterError: It cannot be joined.
        InvalidSettingsError: No machine of it has what one trial needs.
    """
    environment = worker_environment(spec.resources.cpus_per_trial)
    with joined_cluster(address, environment=environment, plug_ins=spec.plug_ins) as folder:
        slots = count_cluster_slots(spec.resources, machines())
        yield RayPlace(folder=folder, slots=slots, is_cluster=True)
