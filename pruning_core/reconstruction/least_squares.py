"""The least-squares answer to missing inputs: the kept ones take over what they can predict of the gone ones.

A layer with weights W was to compute y and, with the inputs u that are left, computes ``W u``. With e = y - W u,
C = E[u u^T] and X = E[e u^T], the correction

    A = X (C + r I)^-1        minimises        E |e - A u|^2 + r |A|^2,

so that, whatever r >= 0, ``W + A`` never has a larger squared error than W on the data that C and X are from. Where a
bias or a normalisation absorbs constants, C and X are covariances.

If u is the kept part u_k of what the dense layer reads, ``y = W_d u_d``, this is ``W_d E[u_d u_k^T] E[u_k u_k^T]^-1``
for r = 0: the regression of [He2017]. Second moments are all that is needed, as for single weights [Hassibi1993].

Shape suffixes used in this file:
    M  rows: outputs of a layer
    K  numbers that one output reads (input channels x cells of the kernel)
    D  output channels

References:
    [Hassibi1993] B. Hassibi, D. G. Stork. Second Order Derivatives for Network Pruning: Optimal Brain Surgeon.
        NeurIPS 1993.
    [He2017] Y. He, X. Zhang, J. Sun. Channel Pruning for Accelerating Very Deep Neural Networks. ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 1e-3  # r as a share of the mean diagonal of C


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What is added to a layer. ``error_before``, ``error_after``: mean squared residual, summed over outputs; without
    its mean where constants are absorbed.
    """

    weight_DK: Tensor
    bias_D: Tensor
    error_before: float
    error_after: float


class ResidualStatistics:
    """Moments, in float64, of what a layer reads and of what its outputs lack; rows may come in any split."""

    def __init__(self, num_inputs: int, num_outputs: int, *, device: str | torch.device = "cpu") -> None:
        self.count = 0
        self._sum_K = torch.zeros(num_inputs, dtype=torch.float64, device=device)
        self._sum_KK = torch.zeros(num_inputs, num_inputs, dtype=torch.float64, device=device)
        self._sum_D = torch.zeros(num_outputs, dtype=torch.float64, device=device)
        self._sum_DK = torch.zeros(num_outputs, num_inputs, dtype=torch.float64, device=device)
        self._squares_D = torch.zeros(num_outputs, dtype=torch.float64, device=device)

    def update(self, rows_MK: Tensor, residual_MD: Tensor) -> None:
        """Add rows with their residuals (wanted minus computed outputs)."""
        rows_MK, residual_MD = rows_MK.double(), residual_MD.double()
        self.count += len(rows_MK)
        self._sum_K += rows_MK.sum(dim=0)
        self._sum_KK.addmm_(rows_MK.T, rows_MK)
        self._sum_D += residual_MD.sum(dim=0)
        self._sum_DK.addmm_(residual_MD.T, rows_MK)
        self._squares_D += residual_MD.square().sum(dim=0)

    def correction(self, *, centred: bool, ridge: float = RIDGE) -> Correction:
        """Return the correction of weights and bias that explains most of the residuals.

        Args:
            centred: Constants do not matter, because a bias or a normalisation absorbs them.
            ridge: r as a share of the mean diagonal of C, > 0.
        """
        mean_K, mean_D = self._sum_K / self.count, self._sum_D / self.count
        moment_KK, cross_DK = self._sum_KK / self.count, self._sum_DK / self.count
        squares_D = self._squares_D / self.count
        if centred:
            moment_KK -= torch.outer(mean_K, mean_K)
            cross_DK -= torch.outer(mean_D, mean_K)
            squares_D -= mean_D.square()
        strength = ridge * moment_KK.diagonal().mean()
        if strength <= 0:  # inputs that never vary cannot stand in for anything
            weight_DK = torch.zeros_like(cross_DK)
        else:
            damped_KK = moment_KK + strength * torch.eye(
                len(moment_KK), dtype=torch.float64, device=mean_K.device
            )
            weight_DK = torch.cholesky_solve(cross_DK.T, torch.linalg.cholesky(damped_KK)).T
        explained = (weight_DK * (2 * cross_DK - weight_DK @ moment_KK)).sum()
        before = float(squares_D.sum())
        return Correction(
            weight_DK=weight_DK,
            bias_D=mean_D - weight_DK @ mean_K,
            error_before=before,
            error_after=max(0.0, before - float(explained)),
        )
