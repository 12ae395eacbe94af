"""Where gate logits come from: one free number per channel, or the paper's hypernetwork.

Shape suffixes used in this file:
    G  channel groups
    C  all gated channels, groups one after another

References:
    [Ganjdanesh2022] ISP, ECCV 2022: bidirectional GRU over fixed inputs, one weight-normalised linear
        layer per group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

INPUT_SIZE = 64
HIDDEN_SIZE = 128


class FreeLogits(nn.Module):
    """One trainable logit per channel, starting at 0: every gate as open as ``base`` makes it.

    The paper starts them from N(0, 1); a common start lets the data alone decide the order of the channels.
    """

    def __init__(self, sizes_G: Sequence[int]) -> None:
        super().__init__()
        self.logits_C = nn.Parameter(torch.zeros(sum(sizes_G)))

    def forward(self) -> Tensor:
        """Return ``logits_C``."""
        return self.logits_C


class HyperNetwork(nn.Module):
    """Emits all logits from a GRU that walks over the groups in forward order, so that groups know each other."""

    inputs_G1I: Tensor

    def __init__(self, sizes_G: Sequence[int]) -> None:
        super().__init__()
        inputs_GI = torch.empty(len(sizes_G), INPUT_SIZE)
        nn.init.orthogonal_(inputs_GI)
        self.register_buffer("inputs_G1I", inputs_GI.unsqueeze(1))
        self.gru = nn.GRU(INPUT_SIZE, HIDDEN_SIZE, bidirectional=True)
        self.norm = nn.LayerNorm(2 * HIDDEN_SIZE)
        self.heads = nn.ModuleList(
            weight_norm(nn.Linear(2 * HIDDEN_SIZE, size, bias=False)) for size in sizes_G
        )

    def forward(self) -> Tensor:
        """Return ``logits_C``."""
        states_G1H, _ = self.gru(self.inputs_G1I)
        features_GH = torch.relu(self.norm(states_G1H.squeeze(1)))
        return torch.cat([head(features_H) for head, features_H in zip(self.heads, features_GH, strict=True)])


GATE_SOURCES: dict[str, Callable[[Sequence[int]], nn.Module]] = {
    "free": FreeLogits,
    "hypernetwork": HyperNetwork,
}


def build_gate_source(name: str, sizes_G: Sequence[int], seed: int) -> nn.Module:
    """Build an entry of ``GATE_SOURCES`` from a seed, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GATE_SOURCES[name](sizes_G)
