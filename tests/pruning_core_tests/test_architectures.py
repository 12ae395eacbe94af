"""CIFAR ResNets against the paper, torchvision's classifiers fitted to the data, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.architectures import build_network, check_supported, needs_training
from pruning_core.architectures.cifar_resnet import ZeroPadShortcut
from pruning_core.architectures.torchvision_networks import _replace_first_convolution, _replace_head
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidSettingsError, UnsupportedNetworkError
from tests.synthetic import same_weights


def build(
    name: str, *, num_classes: int = 10, in_channels: int = 3, seed: int = 0, **fields: Any
) -> nn.Module:
    config = ArchitectureConfig(name=name, **fields)
    return build_network(config, num_classes=num_classes, in_channels=in_channels, seed=seed)


def count_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "fields", "num_params"),
    [
        ("cifar_resnet20", {"shortcut": "zero_pad"}, 269_722),
        ("cifar_resnet20", {"shortcut": "projection"}, 272_474),
        ("cifar_resnet32", {"shortcut": "zero_pad"}, 464_154),
        ("cifar_resnet56", {"shortcut": "zero_pad"}, 853_018),
        ("cifar_resnet110", {"shortcut": "zero_pad"}, 1_727_962),
        ("torchvision:mobilenet_v2", {}, 2_236_682),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, fields: dict[str, Any], num_params: int) -> None:
    assert count_params(build(name, **fields)) == num_params


def test_resnet18_has_the_published_number_of_parameters() -> None:
    assert count_params(build("torchvision:resnet18", num_classes=1000)) == 11_689_512


@pytest.mark.parametrize("depth", [8, 20, 32, 56, 110])
def test_the_depth_counts_convolutions_and_the_last_layer(depth: int) -> None:
    network = build(f"cifar_resnet{depth}", shortcut="zero_pad")
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in network.modules()) == depth


@pytest.mark.parametrize("width", [0.25, 0.5, 1.5, 2])
def test_width_multiplies_every_width(width: float) -> None:
    network = build("cifar_resnet8", width=width)
    widths = [module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert sorted(set(widths)) == [16 * width, 32 * width, 64 * width]


def test_width_multiplies_the_widths_of_mobilenet_v2() -> None:
    assert count_params(build("torchvision:mobilenet_v2", width=0.5)) < 0.4 * 2_236_682


@pytest.mark.parametrize(("narrow", "wide"), [(16, 32), (3, 8)])
def test_the_zero_pad_shortcut_keeps_every_second_pixel_between_zero_channels(narrow: int, wide: int) -> None:
    x_NCHW = torch.rand(2, narrow, 6, 6, requires_grad=True)
    y_NCHW = ZeroPadShortcut(narrow, wide)(x_NCHW)
    before = (wide - narrow) // 2
    assert y_NCHW.shape == (2, wide, 3, 3)
    assert torch.equal(y_NCHW[:, before : before + narrow], x_NCHW[:, :, ::2, ::2])
    assert y_NCHW[:, :before].count_nonzero() == y_NCHW[:, before + narrow :].count_nonzero() == 0
    y_NCHW.sum().backward()
    assert x_NCHW.grad is not None
    assert float(x_NCHW.grad.sum()) == 2 * narrow * 9


@pytest.mark.parametrize("name", ["cifar_resnet8", "torchvision:squeezenet1_1"])
def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone(name: str) -> None:
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    first, again, other = (build(name, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert same_weights(first, again)
    assert not same_weights(first, other)


TORCHVISION_NAMES = [
    "alexnet",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet0_5",
    "regnet_x_400mf",
    "resnet18",
    "squeezenet1_1",
    "vgg11_bn",
]


@pytest.mark.parametrize("name", TORCHVISION_NAMES)
def test_torchvisions_classifiers_fit_grey_images_and_any_number_of_classes(name: str) -> None:
    network = build(f"torchvision:{name}", num_classes=7, in_channels=1)
    with torch.no_grad():
        logits_NC = network(torch.rand(2, 1, 64, 64))  # in training mode: auxiliary heads would show
    assert isinstance(logits_NC, torch.Tensor)
    assert logits_NC.shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vgg11_bn"])
def test_a_new_head_has_as_many_classes_and_the_rest_is_kept(name: str) -> None:
    network = build(f"torchvision:{name}", num_classes=5)
    kept = next(network.parameters()).clone()
    _replace_head(network, 9)
    network.eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 9)
    assert torch.equal(next(network.parameters()), kept)


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_a_grey_network_answers_as_the_colour_network_does_to_grey_images(name: str) -> None:
    network = build(f"torchvision:{name}", num_classes=5).eval()
    grey_N1HW = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected_NC = network(grey_N1HW.expand(-1, 3, -1, -1))
        _replace_first_convolution(network, 1)
        torch.testing.assert_close(network(grey_N1HW), expected_NC, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "swin_v2_b", "maxvit_t"])
def test_attention_models_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=f"without attention, but 'torchvision:{name}'"):
        check_supported(ArchitectureConfig(name=f"torchvision:{name}"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "resnet20"}, "Known architectures: cifar_resnet8, cifar_resnet20"),
        ({"name": "torchvision:resnt18"}, "unknown torchvision network 'resnt18'.* include: resnet18"),
        ({"name": "torchvision:fasterrcnn_resnet50_fpn"}, "unknown torchvision network"),
        ({"name": "torchvision:resnet18", "weights": "V9"}, "one of IMAGENET1K_V1, DEFAULT, but got 'V9'"),
        ({"name": "torchvision:resnet18", "width": 0.5}, "width must be left at 1 .* but got 0.5"),
        (
            {"name": "torchvision:mobilenet_v2", "width": 0.5, "weights": "IMAGENET1K_V1"},
            "width must be left at 1 with weights",
        ),
        ({"name": "torchvision:resnet18", "shortcut": "zero_pad"}, "shortcut must be left out"),
        ({"name": "cifar_resnet8", "weights": "IMAGENET1K_V1"}, "weights must be left out"),
        ({"name": "my_module:function", "width": 0.5}, "width must be left at 1 for .* your own network"),
    ],
)
def test_names_and_settings_without_effect_are_refused_before_building(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=message) as caught:
        check_supported(ArchitectureConfig(**fields))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [0.01, 0.02])
def test_a_width_that_leaves_no_channels_is_refused(width: float) -> None:
    with pytest.raises(InvalidSettingsError, match=r"architecture\.width must leave 1 channel"):
        build("cifar_resnet8", width=width)


def test_a_dense_network_is_trained_unless_weights_for_its_classes_are_given() -> None:
    pretrained = ArchitectureConfig(name="torchvision:resnet18", weights="IMAGENET1K_V1")
    assert needs_training(ArchitectureConfig(), 10)
    assert not needs_training(ArchitectureConfig(checkpoint="dense.safetensors"), 10)
    assert not needs_training(pretrained, 1000)
    assert needs_training(pretrained, 10)


def test_weights_that_are_not_wanted_are_not_downloaded() -> None:
    config = ArchitectureConfig(name="torchvision:resnet18", weights="IMAGENET1K_V1")
    network = build_network(config, num_classes=4, in_channels=1, load_weights=False)
    assert same_weights(network, build("torchvision:resnet18", num_classes=4, in_channels=1))


USER_MODULE = """
from torch import nn

def network(num_classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

def attention(num_classes, in_channels):
    return nn.ModuleDict({"mixer": nn.MultiheadAttention(8, 2)})

def text(num_classes, in_channels):
    return "no network"

def half(num_classes, in_channels):
    return network(num_classes, in_channels).half()

def lazy(num_classes, in_channels):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(num_classes))
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory; its name is new for each test."""
    name = re.sub(r"\W", "_", f"user_network_{tmp_path.name}")
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # restores sys.path afterwards
    return name


def test_a_users_function_is_called_with_classes_and_channels_and_seeded(user_module: str) -> None:
    first, again = (build(f"{user_module}:network", num_classes=6, in_channels=1) for _ in range(2))
    assert first(torch.rand(2, 1, 8, 8)).shape == (2, 6)
    assert same_weights(first, again)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("text", InvalidSettingsError, r"must return a torch\.nn\.Module, but it returned str"),
        ("attention", UnsupportedNetworkError, "layer 'mixer' of .* is attention"),
        ("missing", InvalidSettingsError, "has no function 'missing'"),
        (
            "half",
            UnsupportedNetworkError,
            r"float32 parameters, but '0\.weight' is torch\.float16; return network",
        ),
        ("lazy", UnsupportedNetworkError, r"but '0\.weight' waits for its first batch; run the network once"),
    ],
)
def test_a_users_function_that_gives_no_cnn_is_refused(
    user_module: str, function: str, error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(f"{user_module}:{function}")
