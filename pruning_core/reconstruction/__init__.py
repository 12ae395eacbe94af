"""Refit the weights that read removed channels, so that layers compute what they computed before: least squares."""

from __future__ import annotations

from pruning_core.reconstruction.consumers import RefittedLayer, reconstruct_consumers
from pruning_core.reconstruction.least_squares import Correction, ResidualStatistics

__all__ = ["Correction", "RefittedLayer", "ResidualStatistics", "reconstruct_consumers"]
