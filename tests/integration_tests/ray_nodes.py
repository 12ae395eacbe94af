"""Nodes of a Ray cluster on one machine, by Ray's own `cluster_utils.Cluster`, in a process of their own.

``python -m tests.integration_tests.ray_nodes CPUS CPUS ...`` starts a node for each number (the first is the head),
prints the head's address, does what it reads from stdin (``kill INDEX``, ``add CPUS``), and ends everything at the end
of stdin. A node of ``CPUS,gpus=NUMBER`` claims GPUs, whether there are any or not; processes of one started by
``CPUS,NAME=VALUE`` have that variable in their environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

REPOSITORY = Path(__file__).parents[2]


class RayNodes:
    """A cluster for as long as the context lasts.

    Args:
        cpus: Of each node, or with more about it: ``"1,gpus=2,NAME=VALUE"``.
    """

    def __init__(self, *cpus: int | str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration_tests.ray_nodes", *map(str, cpus)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"},
        )
        self.address = self._line()

    def __enter__(self) -> RayNodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=120)

    def kill(self, index: int) -> None:
        """End a node as a power failure does, with whatever works for it."""
        self._tell(f"kill {index}")

    def add(self, cpus: int | str) -> None:
        """Start another node."""
        self._tell(f"add {cpus}")

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    """Start the nodes and do what stdin says."""
    from ray.cluster_utils import Cluster  # here: tests that are not chosen need no Ray

    cluster: Any = Cluster()
    nodes = [_add(cluster, text) for text in sys.argv[1:]]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        order, what = line.split()
        if order == "kill":
            cluster.remove_node(nodes[int(what)], allow_graceful=False)
        else:
            nodes.append(_add(cluster, what))
        print("done", flush=True)
    cluster.shutdown()


def _add(cluster: Any, text: str) -> Any:
    cpus, *more = text.split(",")
    variables = dict(one.split("=", 1) for one in more)
    num_gpus = int(variables.pop("gpus", 0))
    return cluster.add_node(
        include_dashboard=False, num_cpus=int(cpus), num_gpus=num_gpus, env_vars=variables
    )


if __name__ == "__main__":
    main()
