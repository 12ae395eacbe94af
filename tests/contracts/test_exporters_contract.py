"""What every exporter must do; a new one is covered by being listed in ``EXPORTERS``."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning_core.channels import remove_channels
from pruning_core.export import EXPORTERS, LOADING_LINES
from tests.pruning_core_tests.channel_networks import graph_of, images, network_named, random_selection


def _slim() -> nn.Module:
    graph = graph_of("cifar_resnet8", "all")
    return remove_channels(network_named("cifar_resnet8"), graph, random_selection(graph, share=0.5))


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_writes_the_one_file_it_names_checks_it_and_keeps_silent(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = _slim()
    state = {key: values.clone() for key, values in network.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported = EXPORTERS[name](network, tmp_path, images(4))
    assert [path.name for path in tmp_path.iterdir()] == [exported.name]
    assert (tmp_path / exported.name).stat().st_size >= sum(p.numel() * 4 for p in network.parameters())
    assert 0 <= exported.relative_difference <= 1e-5
    assert capfd.readouterr() == ("", "")
    assert all(torch.equal(values, state[key]) for key, values in network.state_dict().items())
    assert not network.training


def test_who_gets_a_file_is_told_in_five_lines_how_to_load_it() -> None:
    assert LOADING_LINES.keys() == {*EXPORTERS, "int8"}
    assert all(len(lines.splitlines()) <= 5 for lines in LOADING_LINES.values())
