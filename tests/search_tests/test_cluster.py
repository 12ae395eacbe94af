from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from pruning_core.errors import ClusterError, InvalidSettingsError
from search.execution import cluster
from search.execution.cluster import check_address, count_cluster_slots
from search.execution.ray_session import PRIVATE
from search.spec_settings import ResourcesConfig

NODES: list[dict[str, Any]] = [
    {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}},
    {"Alive": True, "Resources": {"CPU": 7.0}},
    {"Alive": True, "Resources": {"memory": 1e9}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, 11),
        ({"cpus_per_trial": 2}, 2 + 3),
        ({"cpus_per_trial": 4}, 2),
        ({"gpus_per_trial": 1}, 2),
        ({"gpus_per_trial": 0.1}, 4),
        ({"gpus_per_trial": 0.6}, 2),
        ({"gpus_per_trial": 2}, 1),
        ({"gpus_per_trial": 0.5, "cpus_per_trial": 2}, 2),
        ({"slots": 3}, 3),
        ({"slots": 40, "cpus_per_trial": 16}, 40),
    ],
)
def test_slots_are_what_fits_the_machines_that_are_alive(resources: dict[str, float], expected: int) -> None:
    assert count_cluster_slots(ResourcesConfig.model_validate(resources), NODES) == expected


@pytest.mark.parametrize("resources", [{"cpus_per_trial": 8}, {"gpus_per_trial": 4}])
def test_a_trial_that_no_machine_has_room_for_is_refused(resources: dict[str, int]) -> None:
    with pytest.raises(
        InvalidSettingsError, match=r"the most that one has is 7 CPUs, 2 GPUs; set resources\.slots"
    ):
        count_cluster_slots(ResourcesConfig.model_validate(resources), NODES)


@pytest.mark.parametrize("address", ["auto", "10.0.0.7:6379", "head.cluster:6379", "[fe80::1]:6379"])
def test_addresses_of_clusters(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["", "here", "10.0.0.7", "http://x:1", "ray://head:10001"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"--address must be auto .* or HOST:PORT") as refused:
        check_address(address)
    assert ("instead of through Ray's client" in str(refused.value)) == address.startswith("ray://")


def test_another_searchs_own_ray_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    private = {"Alive": True, "Resources": {"CPU": 2.0, PRIVATE: 1.0}}
    monkeypatch.setattr(cluster, "machines", lambda: [private])
    with pytest.raises(ClusterError, match="but what is there is the Ray of another search on this machine"):
        cluster._check_public("auto")
    monkeypatch.setattr(cluster, "machines", lambda: NODES)
    cluster._check_public("auto")


def test_where_nobody_answers_is_no_cluster() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    problem = f"--address {address} must be a Ray cluster that this machine is part of, but: .*refused; `ray status`"
    with (
        pytest.raises(ClusterError, match=problem),
        cluster.joined_cluster(address, environment={}, plug_ins=None),
    ):
        pytest.fail("there is a cluster")
    assert time.monotonic() - started < 30
