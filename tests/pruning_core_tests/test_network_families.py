"""The smallest member of every convolutional family prunes exactly; one of each kind is exported.

The whole list runs under ``make models``; its result is docs/results/models.md.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torchvision

from benchmarks.models_page import render
from benchmarks.network_list import FAMILIES, torchvision_names
from benchmarks.network_rows import (
    NetworkRow,
    build_untrained,
    check_export,
    check_network_named,
    example_images,
)
from pruning_core.architectures import check_supported
from pruning_core.channels import find_channel_groups
from pruning_core.config import ArchitectureConfig, ChannelsConfig, PruningConfig
from pruning_core.errors import InvalidSettingsError, UnsupportedNetworkError
from search.network_check import prove_network

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SMALLEST = [names[0] for names in FAMILIES.values()]
TIMM = ("resnet18", "efficientnet_b0", "mobilenetv3_small_050", "regnety_002", "convnext_atto")
EXPORTED = ("squeezenet1_1", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "convnext_tiny")
"""One of each way to combine maps; ``make models`` exports all."""
NOT_SUPPORTED = {"timm:dpn68", "timm:nfnet_l0"}
"""The page says why."""


def _check(row: NetworkRow) -> None:
    for scope in row["scopes"].values():
        assert (max(scope["least_macs"], scope["least_params"]) < 1) == (scope["groups"] > 0)
        assert scope["difference"] <= 1e-5
    assert row["export"]["onnx"] <= 1e-5
    assert row["rebuild"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_member_of_a_family_prunes_exactly(name: str) -> None:
    """Groups of the inner scope are among those of ``all``."""
    network = build_untrained(f"torchvision:{name}")
    config = PruningConfig(channels=ChannelsConfig(scope="all", round_to=1))
    found = prove_network(
        network, example_images(f"torchvision:{name}"), config
    )  # costs are compared in there
    narrowest = found.removals[0]
    assert narrowest.num_kept == found.num_groups > 0
    assert narrowest.cost.macs < 0.2 * found.dense.macs
    assert max(removal.difference for removal in found.removals) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_a_slim_network_can_be_exported_and_built_again(name: str) -> None:
    name = f"torchvision:{name}"
    differences, rebuilt = check_export(name, build_untrained(name), example_images(name))
    assert differences["onnx"] <= 1e-5
    assert rebuilt == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_convolutional_networks_of_timm_prune_exactly_and_can_be_exported(name: str) -> None:
    pytest.importorskip("timm", reason="timm is an optional extra: pip install 'prunefront[timm]'")
    row = check_network_named(f"timm:{name}", scopes=("all",))
    _check(row)
    assert row["scopes"]["all"]["groups"] > 0


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_attention_models_of_timm_are_refused_by_name_before_they_are_traced(name: str) -> None:
    pytest.importorskip("timm", reason="timm is an optional extra: pip install 'prunefront[timm]'")
    with pytest.raises(UnsupportedNetworkError, match=f"of 'timm:{name}' is attention"):
        build_untrained(f"timm:{name}")


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_without_timm_its_networks_are_refused_with_what_to_install() -> None:
    with pytest.raises(InvalidSettingsError, match=r"pip install 'prunefront\[timm\]'"):
        check_supported(ArchitectureConfig(name="timm:resnet18"))


def test_the_list_holds_every_classifier_of_torchvision_that_is_not_refused_as_attention() -> None:
    supported = []
    for name in torchvision.models.list_models(module=torchvision.models):
        try:
            check_supported(ArchitectureConfig(name=f"torchvision:{name}"))
        except UnsupportedNetworkError:
            continue
        supported.append(name)
    assert sorted(torchvision_names()) == sorted(supported)


def test_the_committed_page_shows_every_row_of_the_committed_results_and_the_rows_hold() -> None:
    found = json.loads((RESULTS / "models.json").read_text(encoding="utf-8"))
    names = [f"torchvision:{name}" for name in torchvision_names()]
    page = (RESULTS / "models.md").read_text(encoding="utf-8")
    assert page == render(found["facts"], found["rows"], names)
    assert set(names) <= set(found["rows"])
    failed = {name for name, row in found["rows"].items() if "failed" in row}
    assert failed == NOT_SUPPORTED
    for row in found["rows"].values():
        if "failed" not in row:
            _check(row)
            inner, everything = row["scopes"]["inner"], row["scopes"]["all"]
            assert everything["groups"] > 0 or row["scopes"]["all"]["left_alone"]
            assert inner["groups"] <= everything["groups"]
            assert inner["least_macs"] >= everything["least_macs"]
            assert inner["least_params"] >= everything["least_params"]


def test_squeeze_and_excitation_networks_are_narrowed_within_their_blocks_by_the_inner_scope() -> None:
    """Each of their blocks multiplies its widest map by gates; that must not count as a residual stream."""
    network = build_untrained("torchvision:mobilenet_v3_small")
    inner = {group.name for group in find_channel_groups(network, (3, 64, 64), scope="inner").groups}
    assert {f"features.{block}.block.0.0" for block in range(2, 12)} <= inner


def test_convnext_is_pruned_between_its_two_pointwise_layers_only() -> None:
    network = build_untrained("torchvision:convnext_tiny")
    graph = find_channel_groups(network, (3, 64, 64), scope="all")
    assert all(group.name.endswith("block.3") for group in graph.groups)
    assert len(graph.groups) == 3 + 3 + 9 + 3
    reasons = {one.layer: one.reason for one in graph.untouched}
    assert reasons["features.1.0.block.5"].endswith("cannot be sliced exactly: it normalises over channels")


def test_a_channel_shuffle_is_left_alone_and_the_blocks_before_it_are_pruned_inside() -> None:
    network = build_untrained("torchvision:shufflenet_v2_x0_5")
    graph = find_channel_groups(network, (3, 64, 64), scope="all")
    names = [group.name for group in graph.groups]
    assert names[0] == "conv1.0"
    assert names[-1] == "conv5.0"
    assert all(name.endswith("branch2.0") for name in names[1:-1])
    reasons = {one.layer: one.reason for one in graph.untouched}
    assert reasons["stage2.1.branch2.5"] == "its channels are rearranged (as in a channel shuffle)"
