"""Whether a machine is left that runs trials. Ray Tune does not ask: it waits for one for ever."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from pruning_core.errors import LostProcessError
from search.execution.cluster import count_fitting
from search.spec_settings import ResourcesConfig

__all__ = ["NodeWatch"]

_INTERVAL_S = 5.0
_PATIENCE_S = 30.0  # a machine that starts again, or one that replaces another, needs no words


def _unheard(_text: str) -> None:
    pass


class NodeWatch:
    """Looks at the cluster's nodes every few seconds.

    Nodes that are alive but too small for a trial, such as a head that runs none, do not end the search, because a
    cluster may bring others; that it waits is said once.

    Args:
        nodes: Returns them as Ray describes them.
        clock: Monotonic seconds.
        resources: Of a trial; None: any node will do.
        say: Shows a line to whoever waits for the search.
    """

    def __init__(
        self,
        nodes: Callable[[], Sequence[Mapping[str, Any]]] = ray.nodes,
        clock: Callable[[], float] = time.monotonic,
        *,
        resources: ResourcesConfig | None = None,
        say: Callable[[str], None] = _unheard,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._resources = resources
        self._say = say
        self._next_look = clock() + _INTERVAL_S
        self._too_small_since: float | None = None
        self._has_said_so = False

    def check(self) -> None:
        """Look, if it is time.

        Raises:
            LostProcessError: No node is alive.
        """
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + _INTERVAL_S
        alive = [node["Resources"] for node in self._nodes() if node["Alive"]]
        if not alive:
            raise LostProcessError(
                "Ray must run to the end of a search, but its processes on this machine have ended (killed, or out of "
                "memory); what is finished is kept, and `prunefront resume` goes on"
            )
        if self._resources is not None:
            self._look_for_room(self._resources, alive)

    def _look_for_room(self, resources: ResourcesConfig, alive: Sequence[Mapping[str, float]]) -> None:
        if any(count_fitting(resources, machine) for machine in alive):
            if self._has_said_so:
                self._say("a machine of the cluster has what a trial needs: the search goes on")
            self._too_small_since, self._has_said_so = None, False
            return
        if self._too_small_since is None:
            self._too_small_since = self._clock()
        if not self._has_said_so and self._clock() - self._too_small_since >= _PATIENCE_S:
            self._has_said_so = True
            self._say(_waiting_text(resources, alive))


def _waiting_text(resources: ResourcesConfig, alive: Sequence[Mapping[str, float]]) -> str:
    sizes = Counter(_size(machine.get("CPU", 0), machine.get("GPU", 0)) for machine in alive)
    found = ", ".join(f"{number} with {size}" for size, number in sizes.items())
    needed = _size(resources.cpus_per_trial, resources.gpus_per_trial)
    return (
        f"no machine of the cluster can run a trial: one needs {needed}, but alive are {found}; the search waits for a "
        "machine that can (Ctrl-C ends it and keeps everything, `prunefront resume` goes on)"
    )


def _size(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPUs and {gpus:g} GPUs"
