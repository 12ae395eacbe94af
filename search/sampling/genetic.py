"""Optuna's genetic algorithms, told what they search: they would read it off all trials before each proposal."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler
from optuna.trial import FrozenTrial

from spaces import SearchSpace

__all__ = ["NSGA2", "NSGA3"]


class _Told(BaseSampler):
    """Breeds the fields that every configuration of a search has; others are drawn at random.

    Args:
        space: What varies.
        settings: Of Optuna's sampler.
    """

    def __init__(self, space: SearchSpace, **settings: Any) -> None:
        super().__init__(**settings)
        self._bred = {
            name: distribution
            for name, distribution in sorted(space.distributions.items())
            if name not in space.conditions and not distribution.single()
        }

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return the fields that are bred."""
        return dict(self._bred)


class NSGA2(_Told, NSGAIISampler):
    """NSGA-II."""


class NSGA3(_Told, NSGAIIISampler):
    """NSGA-III."""
