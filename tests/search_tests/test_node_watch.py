"""A search whose last machine is gone ends instead of waiting for ever."""

from __future__ import annotations

import pytest

from pruning_core.errors import LostProcessError
from search.execution.node_watch import NodeWatch


class Cluster:
    def __init__(self) -> None:
        self.now, self.num_looks = 0.0, 0
        self.alive = [True, True]

    def nodes(self) -> list[dict[str, object]]:
        self.num_looks += 1
        return [{"Alive": one} for one in self.alive]

    def watch(self) -> NodeWatch:
        return NodeWatch(self.nodes, lambda: self.now)


def test_one_node_that_is_left_is_enough() -> None:
    cluster = Cluster()
    watch = cluster.watch()
    cluster.alive, cluster.now = [False, True], 60.0
    watch.check()
    assert cluster.num_looks == 1


def test_without_any_it_is_said_and_how_to_go_on() -> None:
    cluster = Cluster()
    watch = cluster.watch()
    cluster.alive, cluster.now = [False, False], 60.0
    with pytest.raises(LostProcessError, match=r"have ended .* `prunefront resume` goes on"):
        watch.check()


def test_it_looks_every_few_seconds_only() -> None:
    cluster = Cluster()
    watch = cluster.watch()
    for tenth in range(300):
        cluster.now = tenth / 10
        watch.check()
    assert 4 <= cluster.num_looks <= 6
