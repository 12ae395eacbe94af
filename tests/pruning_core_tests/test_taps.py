"""Which maps a decoder reads, and reading them without a trace."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.errors import InvalidSettingsError, UnsupportedNetworkError
from pruning_core.saliency import Tap, find_taps
from pruning_core.training import MapReader
from tests.pruning_core_tests.saliency_cases import TinyNetwork, fingerprint

EXPECTED = {
    ("resnet18", 224): [("layer1", 64, 56), ("layer2", 128, 28), ("layer3", 256, 14), ("layer4", 512, 7)],
    ("resnet50", 64): [("layer1", 256, 16), ("layer2", 512, 8), ("layer3", 1024, 4), ("layer4", 2048, 2)],
    ("mobilenet_v2", 224): [
        ("features.3", 24, 56),
        ("features.6", 32, 28),
        ("features.13", 96, 14),
        ("features", 1280, 7),
    ],
    ("vgg16_bn", 32): [  # its 1 x 1 map and the 7 x 7 one that adaptive pooling makes of it are no taps
        ("features.12", 128, 16),
        ("features.22", 256, 8),
        ("features.32", 512, 4),
        ("features.42", 512, 2),
    ],
    ("densenet121", 64): [
        ("features.transition1.conv", 128, 16),
        ("features.transition2.conv", 256, 8),
        ("features.transition3.conv", 512, 4),
        ("features", 1024, 2),
    ],
}


@pytest.mark.parametrize(("name", "side"), EXPECTED)
def test_taps_are_the_last_maps_of_each_size_that_the_network_passes_on(name: str, side: int) -> None:
    with torch.device("meta"):
        network = torchvision.models.get_model(name)
    taps = find_taps(network, (3, side, side))
    expected = [Tap(layer=layer, num_channels=width, size=(s, s)) for layer, width, s in EXPECTED[name, side]]
    assert list(taps) == expected


def test_a_network_inside_a_network_is_looked_into() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = TinyNetwork()

        def forward(self, images_NCHW: Tensor) -> Tensor:
            logits_NC: Tensor = self.network(images_NCHW)
            return logits_NC

    assert [tap.layer for tap in find_taps(Wrapped(), (3, 16, 16))] == [
        "network.stage1",
        "network.stage2",
        "network.stage3",
    ]


def test_a_network_of_one_size_has_one_tap() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert find_taps(network, (1, 6, 6)) == (Tap(layer="1", num_channels=4, size=(6, 6)),)


def test_images_need_not_be_square() -> None:
    assert [tap.size for tap in find_taps(TinyNetwork(), (3, 16, 24))] == [(16, 24), (8, 12), (4, 6)]


def test_finding_taps_leaves_the_network_as_it_was() -> None:
    network = TinyNetwork().train()
    network.stage2.eval()
    network.stage1.requires_grad_(requires_grad=False)
    before = fingerprint(network)
    find_taps(network, (3, 16, 16))
    assert fingerprint(network) == before
    assert network.training
    assert not network.stage2.training
    assert not network.stage1[0].weight.requires_grad
    assert all(not module._forward_hooks for module in network.modules())


def test_named_taps_are_used_instead_and_come_largest_first() -> None:
    taps = find_taps(TinyNetwork(), (3, 16, 16), override=("stage3.0", "stage1.1"))
    assert [(tap.layer, tap.num_channels) for tap in taps] == [("stage1.1", 12), ("stage3.0", 24)]


@pytest.mark.parametrize("override", [("stage9",), ("classifier",), ("stage1", "stage1")])
def test_wrong_names_are_refused_with_the_candidates(override: tuple[str, ...]) -> None:
    with pytest.raises(InvalidSettingsError, match=r"Candidates: .*stage1 \(16x16\).*stage3 \(4x4\)"):
        find_taps(TinyNetwork(), (3, 16, 16), override)


def test_a_module_that_runs_twice_is_no_tap() -> None:
    class Repeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 1, 3, padding=1)
            self.last = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, images_NCHW: Tensor) -> Tensor:
            map_NCHW: Tensor = self.last(self.convolution(self.convolution(images_NCHW)))
            return map_NCHW.mean(dim=(2, 3))

    assert [tap.layer for tap in find_taps(Repeats(), (1, 6, 6))] == ["last"]
    with pytest.raises(InvalidSettingsError, match="one map each, but got 'convolution'"):
        find_taps(Repeats(), (1, 6, 6), ("convolution",))


def test_a_network_without_maps_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(UnsupportedNetworkError, match="at least 2x2 pixels, but has none"):
        find_taps(network, (3, 2, 2))


def tapped(network: TinyNetwork) -> list[str]:
    return [tap.layer for tap in find_taps(network, (3, 16, 16))]


def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_reader_hands_over_what_the_modules_gave_out() -> None:
    network = TinyNetwork().eval()
    with MapReader(network, tapped(network)) as reader:
        network(images())
        maps = reader.maps()
    expected = network.stage1(images())
    assert torch.equal(maps[0], expected)
    assert torch.equal(maps[1], network.stage2(expected))


def test_the_reader_sees_replaced_weights_and_lets_their_gradients_through() -> None:
    network = TinyNetwork().eval()
    weight = (network.get_parameter("stage2.0.weight") * 0.5).detach().requires_grad_()
    with MapReader(network, tapped(network)) as reader:
        functional_call(network, {"stage2.0.weight": weight}, (images(),))
        changed = reader.maps()
        network(images())
        original = reader.maps()
    assert torch.equal(changed[0], original[0])
    assert not torch.equal(changed[1], original[1])
    torch.autograd.backward(changed[2].sum())
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_readers_may_be_nested() -> None:
    network = TinyNetwork().eval()
    taps = tapped(network)
    with MapReader(network, taps) as outer:
        with MapReader(network, taps[-1:]) as inner:
            network(images())
            assert torch.equal(inner.maps()[0], outer.maps()[-1])
        network(images())
        assert len(outer.maps()) == 3


def test_the_reader_removes_its_hooks_and_forgets_its_maps_even_after_an_error() -> None:
    network = TinyNetwork().eval()
    reader = MapReader(network, tapped(network))
    with pytest.raises(RuntimeError, match="size"), reader:
        network(images().flatten(2))
    assert all(not module._forward_hooks for module in network.modules())
    with pytest.raises(RuntimeError, match="run the network before reading its maps"):
        reader.maps()


def test_maps_are_handed_over_once() -> None:
    network = TinyNetwork().eval()
    with MapReader(network, tapped(network)) as reader:
        network(images())
        reader.maps()
        with pytest.raises(RuntimeError, match="no map of 'stage1'"):
            reader.maps()
