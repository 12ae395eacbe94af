"""Which sampler proposes, and why: what ``auto`` stands for, and what gives way where it would have nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from search.sampling.budget_axes import budget_axes
from search.sampling.samplers import SAMPLERS
from search.sampling.search_task import SearchTask

__all__ = ["AUTO", "SAMPLER_NAMES", "SamplerChoice", "choose_sampler"]

AUTO = "auto"
SAMPLER_NAMES = (AUTO, *SAMPLERS)

_MANY_TRIALS = 1000
"""From here on `auto` takes a genetic algorithm, where no budget varies: it needs generations, fifty of them."""

_MANY_OBJECTIVES = 4
_ALONG_BUDGETS = ("along_front", "known_costs")


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerChoice:
    """``name``: a key of `SAMPLERS`. ``reason``: why, as a clause; empty if it was asked for by name."""

    name: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.reason else self.name

    def to_plain(self) -> dict[str, str]:
        """Return what JSON can hold; ``from_plain`` reads it back."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, str]) -> Self:
        """Read what ``to_plain`` wrote."""
        return cls(**values)


def choose_sampler(name: str, task: SearchTask) -> SamplerChoice:
    """Say which sampler proposes in a search.

    Args:
        name: One of `SAMPLER_NAMES`.
        task: The search.
    """
    if name == AUTO:
        return _choose(task)
    if name in _ALONG_BUDGETS and not budget_axes(task.space):
        return SamplerChoice(
            name="tpe", reason=f"no budget varies in all configurations for {name} to go along"
        )
    if task.space.conditions and not SAMPLERS[name].models_conditions:
        return SamplerChoice(name=name, reason="fields that vary only under a condition are drawn at random")
    return SamplerChoice(name=name)


def _choose(task: SearchTask) -> SamplerChoice:
    trials = f"{task.num_trials:,} trials"
    available = task.space.num_configurations
    if available is not None and available <= task.num_trials:
        return SamplerChoice(
            name="random", reason=f"auto, as {trials} reach all {available:,} configurations"
        )
    if budget_axes(task.space):
        return SamplerChoice(name="known_costs", reason="auto, as budgets vary")
    if task.num_trials < _MANY_TRIALS:
        return SamplerChoice(name="tpe", reason=f"auto, as {trials} are too few for generations")
    if task.space.conditions:
        return SamplerChoice(name="tpe", reason="auto, as it models fields that vary only under a condition")
    if len(task.objectives) >= _MANY_OBJECTIVES:
        return SamplerChoice(name="nsga3", reason=f"auto, for {trials} and {len(task.objectives)} objectives")
    return SamplerChoice(name="nsga2", reason=f"auto, for {trials} and {len(task.objectives)} objectives")
