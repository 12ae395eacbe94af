from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from pruning_core.strided_convolutions import guarded_strided_convolutions

# A broken backward pass writes past a buffer of the heap: only a process of its own can die of it safely.
MANY_PASSES = """
import torch
from torch import nn
from pruning_core.strided_convolutions import guarded_strided_convolutions

torch.set_num_threads(1)
torch.manual_seed(0)
gradients = []
for in_channels, out_channels in [(3, 5), (4, 8), (5, 8), (5, 7), (12, 9)] * 8:
    layer = nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
    images_NCHW = torch.rand(32, in_channels, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    with guarded_strided_convolutions(layer):
        layer(images_NCHW).square().sum().backward()
    exact = torch.einsum("nohw,nihw->oi", 2 * layer(images_NCHW), images_NCHW[:, :, ::2, ::2])
    assert torch.allclose(layer.weight.grad[:, :, 0, 0], exact, rtol=1e-4, atol=1e-4)
    gradients.append(layer.weight.grad)
print("whole")
"""


def shortcut(in_channels: int, *, kernel_size: int = 1, stride: int = 2, groups: int = 1) -> nn.Conv2d:
    torch.manual_seed(0)
    layer = nn.Conv2d(in_channels, 6, kernel_size, stride=stride, groups=groups)
    return layer.to(memory_format=torch.channels_last)


def channels_come_last(values: Tensor) -> bool:
    return values.stride()[1] == 1 and values.stride()[3] == values.shape[1]


def test_training_through_shortcuts_of_any_width_leaves_the_heap_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_PASSES], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "whole"), done.stderr[-2000:]


def test_a_guarded_layer_computes_the_same_and_is_itself_again_afterwards() -> None:
    layer = shortcut(5)
    images_NCHW = torch.rand(4, 5, 8, 8).to(memory_format=torch.channels_last)
    expected = layer(images_NCHW)
    weight = layer.weight.detach().clone()
    with guarded_strided_convolutions(nn.Sequential(layer)):
        found = layer(images_NCHW)
        assert not channels_come_last(found)
        assert not channels_come_last(layer.weight)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(layer.weight, weight)
    assert not layer._forward_pre_hooks


@pytest.mark.parametrize(
    "layer",
    [shortcut(8), shortcut(5, stride=1), shortcut(5, kernel_size=3), shortcut(6, groups=3)],
    ids=["whole lanes", "no stride", "3 x 3", "grouped"],
)
def test_layers_that_are_not_broken_stay_channels_last(layer: nn.Conv2d) -> None:
    with guarded_strided_convolutions(layer):
        assert not layer._forward_pre_hooks
        images_NCHW = torch.rand(4, layer.in_channels, 8, 8).to(memory_format=torch.channels_last)
        assert channels_come_last(layer(images_NCHW))


def test_evaluation_is_left_as_it_is() -> None:
    layer = shortcut(5)
    images_NCHW = torch.rand(4, 5, 8, 8).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = layer(images_NCHW)
        with guarded_strided_convolutions(layer):
            assert channels_come_last(layer(images_NCHW))
            torch.testing.assert_close(layer(images_NCHW), expected, rtol=1e-5, atol=1e-6)
