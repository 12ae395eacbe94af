"""Where what flows through a channel goes: the outputs of the next layers that it feeds most.

Channel c sends ``W_dc * A_c`` to output d of a consumer with weights W (the scale of the batch normalisation behind it
folded in). Summed over the outputs, the energies of what it sends are the channel's energy as an information flow.
A report, not a criterion.

Task-inspired criterion, after Guo et al. 2024; formulas ours.

Shape suffixes used in this file:
    C  channels of the group
    D  output channels of a consumer
    E  edges kept per channel
    O  offsets per channel
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.importance.block_leverage import ConsumerReads

EDGES_PER_CHANNEL = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowEdges:
    """The strongest edges of a group's channels, strongest first.

    ``layers``: the consumers. ``layer_CE``: which of them; ``output_CE``: which of its outputs. ``share_CE``: of the
    energy that all channels send to all consumers, each consumer counting equally; 0 where nothing flows.
    """

    layers: tuple[str, ...]
    layer_CE: Tensor
    output_CE: Tensor
    share_CE: Tensor

    def of_channel(self, channel: int) -> list[tuple[str, int, float]]:
        """Return (layer, output, share) of each edge of a channel through which something flows."""
        rows = (self.layer_CE[channel], self.output_CE[channel], self.share_CE[channel])
        return [
            (self.layers[layer], output, share)
            for layer, output, share in zip(*(row.tolist() for row in rows), strict=True)
            if share > 0
        ]


def edge_energies(reads: ConsumerReads) -> Tensor:
    """Return the energy that each channel sends to each output of a consumer, ``(D, C)``, float64 on the CPU."""
    centred_MCO = reads.patches_MCO.double() - reads.patches_MCO.double().mean(dim=0)
    by_channel = centred_MCO.transpose(0, 1)  # (C, M, O)
    moment_COO = by_channel.transpose(1, 2) @ by_channel / len(centred_MCO)
    weight_CDO = reads.weight_DCO.to(moment_COO).transpose(0, 1)
    energy_CD: Tensor = ((weight_CDO @ moment_COO) * weight_CDO).sum(dim=2)
    return energy_CD.T.clamp_min(0).cpu()


def strongest_edges(
    layers: Sequence[str], consumers: Iterable[ConsumerReads], num_edges: int = EDGES_PER_CHANNEL
) -> FlowEdges:
    """Find the edges that carry most of what each channel sends.

    Args:
        layers: Names of the consumers.
        consumers: What they read, in the same order; read once, one after the other.
        num_edges: Edges kept per channel; fewer if there are not so many outputs.
    """
    shares, layer_of, output_of = [], [], []
    for index, reads in enumerate(consumers):
        energy_DC = edge_energies(reads)
        total = energy_DC.sum()
        shares.append(energy_DC / total if total > 0 else energy_DC)
        layer_of.append(torch.full((len(energy_DC),), index))
        output_of.append(torch.arange(len(energy_DC)))
    share_CD = torch.cat(shares).T / len(shares)
    top = share_CD.topk(min(num_edges, share_CD.shape[1]), dim=1)
    return FlowEdges(
        layers=tuple(layers),
        layer_CE=torch.cat(layer_of)[top.indices],
        output_CE=torch.cat(output_of)[top.indices],
        share_CE=top.values,
    )
