"""Draw masks at random: relaxed Bernoulli pixels, and the masks the predictor learns from.

Shape suffixes used in this file:
    N  masks in the batch
    K  bumps (basis functions) per mask
    H, W  mask height and width in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
    [Maddison2017] C. Maddison, A. Mnih, Y. W. Teh. The Concrete Distribution. ICLR 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pruning_core.config import SaliencyConfig
from pruning_core.saliency.rbf_masks import render_rbf_masks
from pruning_core.saliency.rbf_parameters import RbfParameters

_CLOSEST_TO_CERTAIN = 1e-6  # probabilities are held this far from 0 and 1, where their logit is infinite


def sample_pixels(
    probability_NHW: Tensor, temperature: float, generator: torch.Generator, *, hard: bool = False
) -> Tensor:
    """Draw one relaxed Bernoulli number per pixel: sigmoid((logit p + L) / temperature), L ~ Logistic(0, 1).

    P(pixel > 0.5) = p at every temperature; the pixels approach 0/1 as it falls [Maddison2017].

    Args:
        probability_NHW: Probability that a pixel is kept, in [0, 1].
        temperature: Strictly positive.
        generator: Source of the noise; may live on another device than the probabilities.
        hard: Return exactly 0 or 1, with the gradient of the relaxed draw (straight-through).
    """
    uniform = torch.rand(probability_NHW.shape, generator=generator, device=generator.device)
    noise = torch.logit(uniform.to(probability_NHW), eps=_CLOSEST_TO_CERTAIN)
    logits = torch.logit(probability_NHW, eps=_CLOSEST_TO_CERTAIN)
    soft = torch.sigmoid((logits + noise) / temperature)
    if not hard:
        return soft
    return (soft.detach() > 0.5).to(soft) + (soft - soft.detach())


def sample_keep_probabilities(
    num_masks: int, size: tuple[int, int], settings: SaliencyConfig, generator: torch.Generator
) -> Tensor:
    """Draw keep-probability maps from the family that selectors of up to ``max_num_basis`` bumps emit.

    The number K' of bumps is uniform in 1 .. ``max_num_basis``, centres are uniform inside the margin, widths
    uniform in ``width_range`` / sqrt(K'), relative amplitudes uniform, stretches (if any)
    uniform in [-1, 1]. Each map is divided by its largest pixel.

    Returns:
        ``probability_NHW`` in [0, 1] with maximum 1, on the generator's device.
    """
    num_basis = settings.max_num_basis
    device = generator.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    num_used_N1 = 1 + torch.randint(num_basis, (num_masks, 1), generator=generator, device=device)
    is_used_NK = torch.arange(num_basis, device=device) < num_used_N1
    margin = settings.centre_margin
    low, high = settings.width_range
    rbf = RbfParameters(
        centres_NK2=margin + (1 - 2 * margin) * uniform(num_masks, num_basis, 2),
        widths_NK=(low + (high - low) * uniform(num_masks, num_basis)) / num_used_N1.sqrt(),
        # 1 - uniform is never 0, so that a map always has something to be divided by
        amplitudes_NK=(1 - uniform(num_masks, num_basis)) * is_used_NK,
        stretches_NK2=2 * uniform(num_masks, num_basis, 2) - 1 if settings.anisotropic else None,
    )
    map_NHW = render_rbf_masks(rbf, size)
    return map_NHW / map_NHW.amax(dim=(-2, -1), keepdim=True)
