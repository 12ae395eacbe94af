"""The convolutional classifiers that every release is checked on, by family, the smallest first."""

from __future__ import annotations

_REGNET_SIZES = ("400m", "800m", "1_6g", "3_2g", "8g", "16g", "32g")

FAMILIES: dict[str, tuple[str, ...]] = {
    "AlexNet": ("alexnet",),
    "VGG": ("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    "SqueezeNet": ("squeezenet1_1", "squeezenet1_0"),
    "ResNet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "ResNeXt": ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    "Wide ResNet": ("wide_resnet50_2", "wide_resnet101_2"),
    "DenseNet": ("densenet121", "densenet169", "densenet201", "densenet161"),
    "GoogLeNet": ("googlenet",),
    "Inception": ("inception_v3",),
    "MobileNet v2": ("mobilenet_v2",),
    "MobileNet v3": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "MNASNet": ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    "ShuffleNet v2": ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    "EfficientNet": tuple(f"efficientnet_b{size}" for size in range(8)),
    "EfficientNet v2": ("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    "RegNet X": tuple(f"regnet_x_{size}f" for size in _REGNET_SIZES),
    "RegNet Y": tuple(f"regnet_y_{size}f" for size in (*_REGNET_SIZES, "128g")),
    "ConvNeXt": ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
}
"""All of torchvision's; names as ``architecture.name: torchvision:NAME`` takes them."""

TIMM: tuple[str, ...] = (
    "resnet18", "resnet26d", "seresnet50", "resnext50_32x4d", "ecaresnet26t", "res2net50_26w_4s", "cspresnet50",
    "densenet121", "dla34", "dpn68", "vgg11_bn", "repvgg_a0", "darknet53", "hrnet_w18_small", "selecsls42b",
    "efficientnet_b0", "tf_efficientnetv2_b0", "mobilenetv2_050", "mobilenetv3_small_050", "mobilenetv4_conv_small",
    "mnasnet_small", "mixnet_s", "fbnetc_100", "spnasnet_100", "ghostnet_100", "lcnet_050", "tinynet_e",
    "hardcorenas_a", "regnetx_002", "regnety_002", "regnety_004", "convnext_atto", "convnextv2_atto", "inception_v4",
    "xception41", "rexnet_100", "semnasnet_075", "resnetv2_50", "nfnet_l0", "skresnet18", "starnet_s1", "vovnet39a",
)  # fmt: skip
"""Convolutional networks of timm, a small one of each family."""

_SIDES = {"inception_v3": 96, "inception_v4": 96}
_DEFAULT_SIDE = 64


def torchvision_names() -> list[str]:
    """Return every network of the list: first the smallest of each family, then the others."""
    smallest = [names[0] for names in FAMILIES.values()]
    return [*smallest, *(name for names in FAMILIES.values() for name in names[1:])]


def image_side(name: str) -> int:
    """Return how many pixels wide and high the images are that a network is checked on (MACs scale with it)."""
    return _SIDES.get(name.partition(":")[2], _DEFAULT_SIDE)
