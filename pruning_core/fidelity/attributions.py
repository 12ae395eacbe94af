"""Maps of what a network's output for a class is owed to, by the methods of captum, an optional extra.

Shape suffixes used in this file:
    N  images in the batch
    C  colour channels
    H, W  image height and width in pixels

References:
    [Selvaraju2017] R. Selvaraju et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
        Localization. ICCV 2017.
    [Sundararajan2017] M. Sundararajan, A. Taly, Q. Yan. Axiomatic Attribution for Deep Networks. ICML 2017.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType

import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import InvalidSettingsError
from pruning_core.fidelity.settings import FidelitySettings

Attribution = Callable[[nn.Module, str, Tensor, Tensor, FidelitySettings], Tensor]
"""(network in evaluation mode, its last map's layer, images_NCHW, classes_N, settings) to ``map_NHW``, detached."""


def grad_cam(
    network: nn.Module, layer: str, images_NCHW: Tensor, classes_N: Tensor, _settings: FidelitySettings
) -> Tensor:
    """Sum the channels of the last map, each weighted by the mean of the logit's gradient over its places.

    As in [Selvaraju2017] but for the final rectification: places that speak against the class come last instead of
    all being equal, and ranks need that. Enlarged to the size of the image bilinearly.
    """
    cam = load_captum().LayerGradCam(network, network.get_submodule(layer))
    map_N1HW: Tensor = cam.attribute(images_NCHW, target=classes_N).detach()
    enlarged_N1HW = F.interpolate(map_N1HW, size=images_NCHW.shape[-2:], mode="bilinear", align_corners=False)
    return enlarged_N1HW.squeeze(1)


def integrated_gradients(
    network: nn.Module, _layer: str, images_NCHW: Tensor, classes_N: Tensor, settings: FidelitySettings
) -> Tensor:
    """Average the logit's gradient on the way from the mean colour to the image, times the image [Sundararajan2017].

    A pixel's colour channels are added up, so that the map sums to the difference of the logits at both ends, up to
    the error of Gauss-Legendre quadrature with ``gradient_steps`` points.
    """
    gradients = load_captum().IntegratedGradients(network)
    attribution_NCHW: Tensor = gradients.attribute(
        images_NCHW,
        baselines=0.0,
        target=classes_N,
        n_steps=settings.gradient_steps,
        method="gausslegendre",
        internal_batch_size=len(images_NCHW),  # one point of all paths at a time
    )
    return attribution_NCHW.detach().sum(dim=1)


ATTRIBUTIONS: dict[str, Attribution] = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
}


def load_captum() -> ModuleType:
    """Import captum's attribution methods where they are needed: captum is optional.

    Raises:
        InvalidSettingsError: It is not installed.
    """
    if importlib.util.find_spec("captum") is None:
        raise InvalidSettingsError(
            "captum must be installed to attribute outputs to pixels, but is not; pip install 'prunefront[captum]'"
        )
    return importlib.import_module("captum.attr")
