"""Unusual networks are right, left alone by name, or refused by name; the documentation says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pruning_core.channels import find_channel_groups, remove_channels
from pruning_core.config import ChannelsConfig, PruningConfig
from pruning_core.errors import UnsupportedNetworkError
from search.network_check import prove_network, randomise_constants
from tests.pruning_core_tests.channel_networks import random_selection
from tests.pruning_core_tests.unusual_networks import LEFT_ALONE, PRUNED, REFUSED, Case

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"


def _images(case: Case) -> torch.Tensor:
    return torch.randn((2, *case.shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("title", PRUNED)
def test_what_is_supported_prunes_exactly(title: str) -> None:
    case = PRUNED[title]
    network = case.build().eval()
    randomise_constants(network)
    found = prove_network(
        network, _images(case), PruningConfig(channels=ChannelsConfig(scope="all", round_to=1))
    )
    assert [one.layer for one in found.untouched] == ["head"] or "channels-last" in title
    assert found.removals[0].num_kept == found.num_groups
    assert max(removal.difference for removal in found.removals) <= 1e-5
    assert f"| {title} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("title", LEFT_ALONE)
def test_what_cannot_go_is_left_alone_with_the_documented_reason_and_the_rest_prunes(title: str) -> None:
    case = LEFT_ALONE[title]
    network = case.build().eval()
    found = prove_network(
        network, _images(case), PruningConfig(channels=ChannelsConfig(scope="all", round_to=1))
    )
    assert {one.layer: one.reason for one in found.untouched}[str(case.layer)] == case.reason
    assert found.num_groups > 0
    assert f"| {title} | {case.reason} |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("title", REFUSED)
def test_what_cannot_be_pruned_at_all_is_refused_with_the_documented_line(title: str) -> None:
    case = REFUSED[title]
    with pytest.raises(UnsupportedNetworkError) as caught:
        find_channel_groups(case.build(), case.shape, scope="all")
    assert str(caught.value).startswith(str(case.reason))
    assert "\n" not in str(caught.value)
    assert f"| {title} | {case.reason} |" in PAGE.read_text(encoding="utf-8")


def test_a_slim_network_answers_one_image_as_it_answers_a_batch() -> None:
    case = PRUNED["squeeze-and-excitation"]
    network = case.build().eval()
    graph = find_channel_groups(network, case.shape, scope="all")
    slim = remove_channels(network, graph, random_selection(graph, seed=3, share=0.5))
    images_NCHW = _images(case)
    with torch.no_grad():
        torch.testing.assert_close(slim(images_NCHW[:1]), slim(images_NCHW)[:1])


def test_the_page_lists_no_case_that_is_not_tested() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Unusual networks")[2]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {row.removeprefix("| ").split(" |")[0] for row in rows} == {"what", *PRUNED, *LEFT_ALONE, *REFUSED}
