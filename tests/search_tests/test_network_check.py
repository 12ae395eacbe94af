"""``prunefront check``: what it proves, and that a network that does not hold is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pruning_core.config import load_config
from pruning_core.data import DataSplits
from search.cli import app
from search.network_check import check_network
from tests.search_tests.stored_studies import write_spec

runner = CliRunner()


@pytest.mark.parametrize("scope", ["inner", "all"])
@pytest.mark.parametrize("shortcut", ["projection", "zero_pad"])
def test_a_network_is_proved_for_the_most_some_and_nothing_removed(
    tiny_data: DataSplits, scope: str, shortcut: str
) -> None:
    config = load_config(
        {"architecture": {"name": "cifar_resnet8", "shortcut": shortcut}, "channels": {"scope": scope}}
    )
    found = check_network(config, tiny_data)
    narrowest, between, everything = found.removals
    assert narrowest.num_kept < between.num_kept < everything.num_kept == found.num_channels
    assert narrowest.cost.macs < between.cost.macs < everything.cost.macs == found.dense.macs
    assert all(removal.difference <= 1e-5 for removal in found.removals)
    assert everything.difference == 0


def test_layers_left_alone_are_named_with_the_reason(tiny_data: DataSplits) -> None:
    found = check_network(load_config({"architecture": {"name": "cifar_resnet8"}}), tiny_data)
    reasons = {one.layer: one.reason for one in found.untouched}
    assert "addition" in reasons["layer1.0.conv2"]
    assert "output" in reasons["linear"]


def test_check_prints_what_was_proved(tmp_path: Path) -> None:
    text = "study: tiny\nsearch: {budgets.macs: {low: 0.3, high: 0.8}}\n"
    result = runner.invoke(app, ["check", str(write_spec(tmp_path, text))])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "cifar_resnet8 prunes safely\n3 groups of channels, 112 channels that may go\n"
    )
    assert "narrowest allowed      14 of 112" in result.stdout
    assert "linear               its channels are the network's output" in result.stdout


def test_a_network_of_the_users_own_is_imported_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    (tmp_path / "nets_of_my_own.py").write_text(
        "from torch import nn\n"
        "def tiny(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(),\n"
        "                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes))\n"
    )
    text = (
        "study: tiny\nrun: {architecture: {name: 'nets_of_my_own:tiny'}}\n"
        "search: {budgets.macs: {low: 0.3, high: 0.8}}\n"
    )
    result = runner.invoke(app, ["check", str(write_spec(tmp_path, text))])
    assert result.exit_code == 0, result.output
    assert "2 groups of channels, 24 channels that may go" in result.stdout


USER_NETWORKS = """
from torch import nn


def normalised(num_classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes))


class Spare(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.spare = network, nn.Conv2d(3, 3, 1)

    def forward(self, images):
        return self.network(images)


def spare(num_classes, in_channels):
    return Spare(normalised(num_classes, in_channels))
"""


def _check_user_network(folder: Path, function: str) -> Result:
    (folder / "nets_to_check.py").write_text(USER_NETWORKS)
    text = (
        f"study: tiny\nrun: {{architecture: {{name: 'nets_to_check:{function}'}}}}\n"
        "search: {budgets.macs: {low: 0.6, high: 0.8}}\n"
    )
    return runner.invoke(app, ["check", str(write_spec(folder, text))])


def test_check_names_the_layers_of_a_users_network_that_it_leaves_alone_and_why(tmp_path: Path) -> None:
    result = _check_user_network(tmp_path, "normalised")
    assert result.exit_code == 0, result.output
    assert "1 groups of channels, 16 channels that may go" in result.stdout
    assert "0  its channels meet '1', a GroupNorm that cannot be sliced exactly" in result.stdout


def test_check_refuses_a_users_network_in_one_line_that_names_the_layer(tmp_path: Path) -> None:
    result = _check_user_network(tmp_path, "spare")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "error: every layer must be used when the network is evaluated, but 'spare' is not"
    )
    assert result.stderr.count("\n") == 1
