"""Whole networks measured in turns."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch

from pruning_core.latency.turns import RUNTIMES, TurnSettings, measure_in_turns, noise_batch, quantiles_ms
from tests.pruning_core_tests.channel_networks import IMAGE, network_named


def test_networks_take_turns_there_and_back_after_a_warm_up() -> None:
    ran: list[str] = []
    settings = TurnSettings(warm_up=3, passes=12)
    told: list[tuple[int, int]] = []
    times = measure_in_turns(
        {name: lambda name=name: ran.append(name) for name in "abc"},  # type: ignore[misc] # bound by its default
        settings,
        lambda done, total: told.append((done, total)),
    )
    turns = [(name, len(list(turn))) for name, turn in groupby(ran)]
    assert turns == [
        ("a", 3), ("b", 3), ("c", 3),  # warm-up
        ("a", 6), ("b", 6), ("c", 12), ("b", 6), ("a", 6 + 3), ("b", 3), ("c", 3),  # one of each turn is not counted
    ]  # fmt: skip
    assert {name: len(found) for name, found in times.items()} == {"a": 12, "b": 12, "c": 12}
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_threads_are_set_while_measuring_and_set_back() -> None:
    before = torch.get_num_threads()
    seen = []
    measure_in_turns(
        {"a": lambda: seen.append(torch.get_num_threads())}, TurnSettings(num_threads=3, passes=2)
    )
    assert set(seen) == {3}
    assert torch.get_num_threads() == before


def test_a_slower_pass_takes_longer() -> None:
    small, large = torch.ones(8, 8), torch.ones(512, 512)
    times = measure_in_turns(
        {"small": lambda: small @ small, "large": lambda: large @ large}, TurnSettings(passes=15)
    )
    assert quantiles_ms(times["small"])[0] < quantiles_ms(times["large"])[0]


def test_quantiles_are_the_median_and_the_90th_percentile() -> None:
    assert quantiles_ms([float(value) for value in range(101)]) == (50, 90)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_runs_the_whole_batch_through_the_network(name: str) -> None:
    network = network_named("concatenated")
    images_NCHW = noise_batch(IMAGE, 3)
    found_NC = RUNTIMES[name](network, images_NCHW, 1)()
    with torch.no_grad():
        torch.testing.assert_close(found_NC, network(images_NCHW), rtol=1e-4, atol=1e-5)
