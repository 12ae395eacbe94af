"""A search whose last machine is gone ends instead of waiting for ever; one that waits for a machine says so."""

from __future__ import annotations

import pytest

from pruning_core.errors import LostProcessError
from search.execution.node_watch import NodeWatch
from search.spec_settings import ResourcesConfig


class Cluster:
    def __init__(self) -> None:
        self.now, self.num_looks = 0.0, 0
        self.alive = [True, True]
        self.resources: list[dict[str, float]] = [{}, {"CPU": 4.0, "GPU": 1.0}]
        self.said: list[str] = []

    def nodes(self) -> list[dict[str, object]]:
        self.num_looks += 1
        return [
            {"Alive": is_alive, "Resources": resources}
            for is_alive, resources in zip(self.alive, self.resources, strict=True)
        ]

    def watch(self, resources: ResourcesConfig | None = None) -> NodeWatch:
        return NodeWatch(self.nodes, lambda: self.now, resources=resources, say=self.said.append)

    def wait(self, watch: NodeWatch, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            watch.check()


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


NEEDS = ResourcesConfig(cpus_per_trial=2, gpus_per_trial=0.5)


def test_a_head_alone_that_runs_no_trials_is_told_of_once_and_so_is_the_end_of_it() -> None:
    cluster = Cluster()
    watch = cluster.watch(NEEDS)
    cluster.wait(watch, 60)
    assert cluster.said == []
    cluster.alive[1] = False
    cluster.wait(watch, 29)
    assert cluster.said == []
    cluster.wait(watch, 600)
    (waits,) = cluster.said
    assert waits == (
        "no machine of the cluster can run a trial: one needs 2 CPUs and 0.5 GPUs, but alive are 1 with 0 CPUs and "
        "0 GPUs; the search waits for a machine that can (Ctrl-C ends it and keeps everything, `prunefront resume` "
        "goes on)"
    )
    cluster.alive[1] = True
    cluster.wait(watch, 60)
    assert cluster.said == [waits, "a machine of the cluster has what a trial needs: the search goes on"]
    cluster.alive[1] = False
    cluster.wait(watch, 60)
    assert cluster.said[2:] == [waits]


def test_a_machine_that_is_away_for_a_moment_needs_no_words() -> None:
    cluster = Cluster()
    watch = cluster.watch(NEEDS)
    for is_alive in (True, False) * 5:
        cluster.alive[1] = is_alive
        cluster.wait(watch, 20)
    assert cluster.said == []


@pytest.mark.parametrize(
    ("machine", "found"),
    [
        ({"CPU": 1.0, "GPU": 1.0}, "1 with 0 CPUs and 0 GPUs, 2 with 1 CPUs and 1 GPUs"),
        ({"CPU": 64.0}, "1 with 0 CPUs and 0 GPUs, 2 with 64 CPUs and 0 GPUs"),
    ],
)
def test_what_is_there_is_told_by_machine_and_never_added_up(machine: dict[str, float], found: str) -> None:
    cluster = Cluster()
    cluster.alive, cluster.resources = [True] * 3, [{}, machine, machine]
    cluster.wait(cluster.watch(NEEDS), 60)
    (waits,) = cluster.said
    assert f"but alive are {found}; the search waits" in waits
