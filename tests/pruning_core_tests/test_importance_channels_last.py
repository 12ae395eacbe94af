"""A linear layer on channels-last maps is a 1x1 convolution, and is measured as one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.channels import find_channel_groups
from pruning_core.config import ImportanceConfig
from pruning_core.importance import IMPORTANCES, ImportanceContext
from tests.pruning_core_tests.importance_cases import class_images
from tests.pruning_core_tests.unusual_networks import Between, ChannelsLast


class _AsConvolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(8, 20, 1), nn.Conv2d(20, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(F.gelu(self.wide(x)))  # type: ignore[no-any-return] # modules give Any


def _scores(network: nn.Module, name: str) -> dict[str, Tensor]:
    data = class_images()
    context = ImportanceContext(
        network=network,
        graph=find_channel_groups(network, data.input_shape, scope="all"),
        data=data,
        settings=ImportanceConfig(num_images=32, num_positions=200),
        seed=0,
    )
    return dict(IMPORTANCES[name].score(context))


@pytest.mark.parametrize("name", [name for name in IMPORTANCES if name != "bn_scale"])  # there are no norms
def test_linear_layers_on_maps_are_scored_as_pointwise_convolutions_are(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear, pointwise = Between(ChannelsLast()).eval(), Between(_AsConvolutions()).eval()
    weights = linear.state_dict()
    shapes = pointwise.state_dict()
    pointwise.load_state_dict({key: values.reshape(shapes[key].shape) for key, values in weights.items()})
    expected, found = _scores(pointwise, name), _scores(linear, name)
    assert list(found) == list(expected) == ["first", "between.wide", "between.narrow", "second"]
    for group, scores_C in expected.items():
        torch.testing.assert_close(found[group], scores_C, rtol=1e-4, atol=1e-7)
