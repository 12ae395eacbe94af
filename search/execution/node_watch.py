"""Whether a machine is left that runs trials. Ray Tune does not ask: it waits for one for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from pruning_core.errors import LostProcessError

__all__ = ["NodeWatch"]

_INTERVAL_S = 5.0


class NodeWatch:
    """Looks at the cluster's nodes every few seconds.

    Args:
        nodes: Returns them as Ray describes them.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        nodes: Callable[[], Sequence[Mapping[str, Any]]] = ray.nodes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._next_look = clock() + _INTERVAL_S

    def check(self) -> None:
        """Look, if it is time.

        Raises:
            LostProcessError: No node is alive.
        """
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + _INTERVAL_S
        if not any(node["Alive"] for node in self._nodes()):
            raise LostProcessError(
                "Ray must run to the end of a search, but its processes on this machine have ended (killed, or out of "
                "memory); what is finished is kept, and `prunefront resume` goes on"
            )
