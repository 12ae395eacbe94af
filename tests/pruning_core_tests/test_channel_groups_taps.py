"""Where the groups lie in the maps that a saliency decoder reads."""

from __future__ import annotations

import pytest

from pruning_core.channels import find_channel_groups
from pruning_core.errors import InvalidSettingsError
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    Concatenated,
    FlattenedMaps,
    GroupedConvolution,
    graph_of,
    network_named,
)


def test_taps_say_where_the_groups_lie_in_the_map() -> None:
    network = network_named("cifar_resnet8")
    graph = find_channel_groups(network, IMAGE, scope="all", taps=("layer1", "layer2.0.bn1"))
    assert graph.taps == {
        "layer1": (("conv1", tuple(range(16))),),
        "layer2.0.bn1": (("layer2.0.conv1", tuple(range(32))),),
    }
    assert graph.groups == graph_of("cifar_resnet8", "all").groups
    inner = find_channel_groups(network, IMAGE, scope="inner", taps=("layer1",))
    assert inner.taps == {"layer1": ()}


def test_a_tap_of_concatenated_maps_holds_both_groups() -> None:
    graph = find_channel_groups(Concatenated(), IMAGE, scope="inner", taps=("slope",))
    assert dict(graph.taps["slope"]) == {"left": tuple(range(6)), "right": tuple(range(6, 16))}


def test_a_tap_behind_a_grouped_convolution_lists_every_position_of_a_channel() -> None:
    graph = find_channel_groups(GroupedConvolution(), IMAGE, scope="inner", taps=("norm",))
    assert len(graph.taps["norm"]) == 6
    assert graph.taps["norm"][1] == ("reduce", (1, 7, 13, 19))


@pytest.mark.parametrize("tap", ["nowhere", "classifier.0", ""])
def test_taps_that_are_no_maps_are_refused(tap: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"saliency\.taps must name"):
        find_channel_groups(FlattenedMaps(normalised=False), IMAGE, scope="inner", taps=(tap,))
