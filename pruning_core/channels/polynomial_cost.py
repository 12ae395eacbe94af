"""MACs and params as exact polynomials in the kept counts of the channel groups.

A layer costs (inputs x outputs x kernel x places); inputs and outputs are linear in the kept counts c, so the whole
network is (c^T Q c) / 2 + b^T c + constant. At whole counts a counter finds the same on the slim network.

Shape suffixes used in this file:
    L  layers
    G  channel groups

References:
    [Ning2020] X. Ning et al. DSA: More Efficient Budgeted Pruning via Differentiable Sparsity Allocation. ECCV 2020
        (the matrix form, there for FLOPs alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pruning_core.channels.layer_widths import LayerWidths
from pruning_core.channels.resource_costs import Counts, counts_beside


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PolynomialCost:
    """(c^T ``quadratic_GG`` c) / 2 + ``linear_G`` . c + ``constant``, in whole numbers.

    ``quadratic_GG`` is symmetric, so that ``quadratic_GG`` c + ``linear_G`` is the gradient. ``layers``,
    ``per_pair_L`` (amount per pair of input and output position), ``per_output_L`` and ``fixed`` say the same layer by
    layer.
    """

    layers: LayerWidths
    per_pair_L: Counts
    per_output_L: Counts
    fixed: int
    quadratic_GG: Counts
    linear_G: Counts
    constant: int

    def cost(self, widths_G: Tensor) -> Tensor:
        """Return the polynomial at these widths, differentiable."""
        quadratic_GG = counts_beside(widths_G, self.quadratic_GG)
        linear_G = counts_beside(widths_G, self.linear_G)
        half = widths_G @ quadratic_GG @ widths_G / 2
        return half + linear_G @ widths_G + self.constant

    def exact(self, widths: Sequence[int] | Counts) -> int:
        """Return the cost at whole kept counts, layer by layer."""
        widths_G = np.asarray(widths, dtype=np.int64)
        outputs_L = self.layers.outputs.at(widths_G)
        pairs_L = self.layers.inputs.at(widths_G) * outputs_L
        return self.fixed + int((self.per_pair_L * pairs_L + self.per_output_L * outputs_L).sum())

    def changes(self, widths_G: Counts, target_G: Counts) -> Counts:
        """Return the changes from the gradient and the diagonal, which is exact for a quadratic."""
        step_G = target_G - widths_G
        slope_G = self.quadratic_GG @ widths_G + self.linear_G
        changes_G: Counts = slope_G * step_G + np.diagonal(self.quadratic_GG) * step_G**2 // 2
        return changes_G

    def relief(self, widths_G: Counts, target_G: Counts, limit: int) -> Counts:  # noqa: ARG002 - part of the protocol
        """Return the changes with the sign turned."""
        return -self.changes(widths_G, target_G)


def polynomial_cost(
    layers: LayerWidths, per_pair_L: Counts, per_output_L: Counts, *, dense: int, sizes: Sequence[int]
) -> PolynomialCost:
    """Multiply the layers out; what they leave unexplained of the ``dense`` cost is fixed."""
    inputs, outputs = layers.inputs, layers.outputs
    weighted_LG = per_pair_L[:, None] * inputs.slopes_LG
    pairs_GG = weighted_LG.T @ outputs.slopes_LG
    linear_G = (per_pair_L * inputs.fixed_L + per_output_L) @ outputs.slopes_LG
    linear_G = linear_G + (per_pair_L * outputs.fixed_L) @ inputs.slopes_LG
    sizes_G = np.asarray(sizes, dtype=np.int64)
    pairs_L = inputs.at(sizes_G) * outputs.at(sizes_G)
    fixed = dense - int((per_pair_L * pairs_L + per_output_L * outputs.at(sizes_G)).sum())
    return PolynomialCost(
        layers=layers,
        per_pair_L=per_pair_L,
        per_output_L=per_output_L,
        fixed=fixed,
        quadratic_GG=pairs_GG + pairs_GG.T,
        linear_G=linear_G,
        constant=fixed + int(((per_pair_L * inputs.fixed_L + per_output_L) * outputs.fixed_L).sum()),
    )
