"""The decoder fits its budget on every network, and images do not influence each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.architectures import build_network
from pruning_core.config import ArchitectureConfig, SaliencyConfig, SelectorConfig
from pruning_core.errors import InvalidSettingsError
from pruning_core.saliency import SaliencySelector, Tap, build_selector
from pruning_core.saliency.decoder import DecoderPlan, SaliencyDecoder, decoder_macs, plan_decoder
from pruning_core.saliency.rbf_head import RbfHead, head_macs_per_pixel


def cifar_network(name: str) -> Callable[[], nn.Module]:
    return lambda: build_network(ArchitectureConfig(name=name), num_classes=10, in_channels=3)


NETWORKS: dict[tuple[str, int], Callable[[], nn.Module]] = {
    ("cifar_resnet8", 8): cifar_network("cifar_resnet8"),
    ("cifar_resnet8", 32): cifar_network("cifar_resnet8"),
    ("cifar_resnet20", 32): cifar_network("cifar_resnet20"),
    ("resnet18", 32): torchvision.models.resnet18,
    ("resnet18", 224): torchvision.models.resnet18,
    ("mobilenet_v2", 32): torchvision.models.mobilenet_v2,
    ("mobilenet_v2", 224): torchvision.models.mobilenet_v2,
    ("vgg16_bn", 32): torchvision.models.vgg16_bn,
}
TAPS = (
    Tap(layer="a", num_channels=12, size=(16, 16)),
    Tap(layer="b", num_channels=16, size=(8, 8)),
    Tap(layer="c", num_channels=24, size=(4, 4)),
)


def counted_macs(module: nn.Module, *inputs: object) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return int(counter.get_total_flops()) // 2


def random_maps(taps: tuple[Tap, ...], num_images: int, scale: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(
            num_images, tap.num_channels, scale * tap.size[0], scale * tap.size[1], generator=generator
        )
        for tap in taps
    ]


@pytest.mark.parametrize("num_basis", [1, 4])
@pytest.mark.parametrize(("name", "side"), NETWORKS)
def test_the_decoder_costs_at_most_its_share_of_the_backbone(name: str, side: int, num_basis: int) -> None:
    with torch.device("meta"):
        network = NETWORKS[name, side]().eval()
    network.to_empty(device="cpu")  # shapes are enough to count
    selector = build_selector(
        network, SaliencyConfig(num_basis=num_basis), num_classes=10, input_shape=(3, side, side)
    )
    backbone = counted_macs(network, torch.zeros(1, 3, side, side))
    decoder = counted_macs(selector, random_maps(selector.taps, 1), torch.zeros(1, dtype=torch.int64))
    assert 0 < decoder <= 0.25 * backbone


@pytest.mark.parametrize("num_basis", [1, 4])
@pytest.mark.parametrize("num_taps", [1, 2, 3])
def test_the_closed_form_of_the_cost_is_what_a_counter_counts(num_taps: int, num_basis: int) -> None:
    plan = DecoderPlan(width=8, taps=TAPS[-num_taps:])
    decoder = SaliencyDecoder(plan, num_classes=5)
    classes = torch.zeros(1, dtype=torch.int64)
    assert counted_macs(decoder, random_maps(plan.taps, 1), classes) == decoder_macs(plan)
    num_numbers = 3 if num_basis == 1 else 4
    head = RbfHead(8, torch.zeros(num_basis, num_numbers))
    features = torch.zeros(1, 8, *plan.taps[0].size)
    bound = head_macs_per_pixel(num_basis, num_numbers) * features.numel()
    assert counted_macs(head, features) <= bound


def cost_with_head(plan: DecoderPlan) -> int:
    height, width = plan.taps[0].size
    return decoder_macs(plan) + 5 * plan.width * height * width


def test_a_tighter_budget_gives_a_narrower_decoder_then_fewer_maps_then_few_channels() -> None:
    order = [(32, 3), (24, 3), (16, 3), (12, 3), (8, 3), (16, 2)]
    for (width, num_taps), following in itertools.pairwise(order):
        plan = DecoderPlan(width=width, taps=TAPS[-num_taps:])
        assert plan_decoder(TAPS, cost_with_head(plan), head_macs_per_pixel=5) == plan
        tighter = plan_decoder(TAPS, cost_with_head(plan) - 1, head_macs_per_pixel=5)
        assert (tighter.width, len(tighter.taps)) == following
    least = DecoderPlan(width=1, taps=TAPS[-1:])
    assert plan_decoder(TAPS, cost_with_head(least), head_macs_per_pixel=5) == least


def test_a_share_that_allows_no_decoder_is_refused() -> None:
    with pytest.raises(
        InvalidSettingsError, match=r"decoder_share must allow .* 'c' .* but allows 500; raise it"
    ):
        plan_decoder(TAPS, 500, head_macs_per_pixel=5)


def small_selector(num_basis: int = 1) -> SaliencySelector:
    plan = DecoderPlan(width=8, taps=TAPS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        selector = SaliencySelector(plan, SaliencyConfig(num_basis=num_basis), num_classes=5)
        nn.init.normal_(selector.head.heat.weight)
        nn.init.normal_(selector.head.correction.weight)
    return selector


@pytest.mark.parametrize("training", [True, False])
def test_images_do_not_influence_each_other_and_modes_do_not_differ(training: bool) -> None:
    selector = small_selector(2).train(training)
    maps, classes = random_maps(TAPS, 6), torch.arange(6) % 5
    together = selector(maps, classes)
    alone = torch.cat([selector([m[i : i + 1] for m in maps], classes[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert torch.equal(together, selector.train(not training)(maps, classes))


def test_the_class_to_explain_matters() -> None:
    selector, maps = small_selector(), random_maps(TAPS, 4)
    first = selector(maps, torch.zeros(4, dtype=torch.int64))
    second = selector(maps, torch.ones(4, dtype=torch.int64))
    assert (first - second).abs().max() > 1e-3


def test_every_map_matters_and_so_do_all_weights() -> None:
    selector, maps = small_selector(2), random_maps(TAPS, 4)
    for tapped in maps:
        tapped.requires_grad_()
    torch.autograd.backward(selector(maps, torch.arange(4)).square().sum())
    for tapped in maps:
        assert tapped.grad is not None
        assert tapped.grad.abs().max() > 0
    for name, parameter in selector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("scale", [2, 3])
def test_larger_maps_are_read_by_the_same_weights(scale: int) -> None:
    raw = small_selector(2)(random_maps(TAPS, 4, scale), torch.arange(4))
    assert raw.shape == (4, 2, 4)
    assert raw.isfinite().all()


def test_maps_that_do_not_double_in_size_are_merged() -> None:
    taps = (
        Tap(layer="a", num_channels=4, size=(13, 17)),
        Tap(layer="b", num_channels=4, size=(6, 7)),
        Tap(layer="c", num_channels=4, size=(3, 3)),
    )
    decoder = SaliencyDecoder(DecoderPlan(width=4, taps=taps), num_classes=2)
    assert decoder(random_maps(taps, 2), torch.zeros(2, dtype=torch.int64)).shape == (2, 4, 13, 17)


def test_the_hottest_place_becomes_the_centre() -> None:
    head = RbfHead(1, torch.zeros(1, 3))
    nn.init.constant_(head.heat.weight, 100.0)
    features = torch.zeros(1, 1, 16, 16)
    features[0, 0, 11, 4] = 1.0
    row, column = (head(features)[0, 0, :2] / 32).tolist()
    assert (row, column) == pytest.approx(((11.5 / 16) - 0.5, (4.5 / 16) - 0.5), abs=1e-5)


def test_constant_maps_give_finite_gradients() -> None:
    selector = small_selector(2)
    maps = [torch.zeros_like(tapped).requires_grad_() for tapped in random_maps(TAPS, 2)]
    torch.autograd.backward(selector(maps, torch.zeros(2, dtype=torch.int64)).sum())
    for tapped in maps:
        assert tapped.grad is not None
        assert tapped.grad.isfinite().all()


def test_narrow_settings_reach_the_selector() -> None:
    network = torchvision.models.resnet18()
    tight = SaliencyConfig(selector=SelectorConfig(decoder_share=0.002))
    selector = build_selector(network, tight, num_classes=10, input_shape=(3, 64, 64))
    assert len(selector.taps) < 4
