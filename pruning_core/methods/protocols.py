"""What every pruning method is given and must return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from pruning_core.budgets import Resource
from pruning_core.channels import CostModel
from pruning_core.channels.structures import ChannelGraph
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.importance import ImportanceContext
from pruning_core.progress import ProgressReporter, report_nothing

if TYPE_CHECKING:
    from pruning_core.gating.steering_batches import SteeringSet
    from pruning_core.saliency import SaliencySelector


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelProposal:
    """What a method would keep; ``project`` turns it into a selection that meets the budgets.

    ``scores``: per group one finite number >= 0 per channel, higher stays. They are comparable between groups: the
    projection gives up the lowest first and takes the highest back first. ``widths``: kept channels per group; they
    may miss the budgets a little on either side. ``facts``: what the method wants kept, as JSON can hold it.
    ``weights``: state of the dense-shaped network to remove channels from, where the method trained it along.
    """

    scores: Mapping[str, Tensor]
    widths: Mapping[str, int]
    facts: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodContext:
    """One pruning run as a method sees it: the dense network (eval mode, on ``device``), its groups, its cost, the
    limits, the data and all settings.

    ``importance``, ``sensitivities``, ``selector`` and ``steering_set`` are what earlier stages left behind; a method
    computes the first two itself where they are None. Only training images may be read.
    """

    network: nn.Module
    graph: ChannelGraph
    cost_model: CostModel
    limits: Mapping[Resource, int]
    data: DataSplits
    config: PruningConfig
    importance: Mapping[str, Tensor] | None = None
    sensitivities: Mapping[str, float] | None = None
    selector: SaliencySelector | None = None
    steering_set: SteeringSet | None = None
    device: str = "cpu"
    report: ProgressReporter = report_nothing

    @property
    def importance_context(self) -> ImportanceContext:
        """What a filter importance is given in this run."""
        return ImportanceContext(
            network=self.network,
            graph=self.graph,
            data=self.data,
            settings=self.config.importance,
            seed=self.config.seed,
            device=self.device,
        )


Propose = Callable[[MethodContext], ChannelProposal]
"""Chooses scores and widths; the same context gives the same proposal; the network comes back as it was."""
