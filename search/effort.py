"""How long a search will take, and what it will cost, from one trial that was timed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.early_stopping.brackets import bracket_sizes
from search.early_stopping.halving_settings import HalvingConfig

__all__ = ["Effort", "estimate_effort", "mean_share_of_epochs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """Seconds. ``shared_s``: of all shared stages together. ``trial_s``: of one trial beside them, on average.
    ``work_s``: of the whole search, summed over its slots. ``wall_s``: of the whole search, as time passes.
    """

    shared_s: float
    trial_s: float
    work_s: float
    wall_s: float


def estimate_effort(
    *,
    stage_seconds: Mapping[str, float],
    num_shared_stages: Mapping[str, int],
    halving: HalvingConfig,
    num_epochs: int,
    num_trials: int,
    slots: int,
) -> Effort:
    """Work out what a search takes if all of its trials take as long as one did.

    Smaller networks train faster than larger ones, so that trial should be of middling budgets.

    Args:
        stage_seconds: Of the timed trial, by stage.
        num_shared_stages: How many different ones of each name the search needs; each runs once.
        halving: Which share of trials goes on after each rung.
        num_epochs: Of fine-tuning.
        num_trials: How many there will be.
        slots: How many run at once.
    """
    shared = {name: seconds for name, seconds in stage_seconds.items() if name in num_shared_stages}
    shared_s = sum(seconds * num_shared_stages[name] for name, seconds in shared.items())
    tuning_s = stage_seconds.get("fine_tune", 0.0)
    others_s = sum(stage_seconds.values()) - sum(shared.values()) - tuning_s
    trial_s = others_s + tuning_s * mean_share_of_epochs(halving, num_epochs)
    work_s = shared_s + num_trials * trial_s
    chain_s = sum(shared.values()) + trial_s  # one stage after another, then a trial
    return Effort(shared_s=shared_s, trial_s=trial_s, work_s=work_s, wall_s=max(work_s / slots, chain_s))


def mean_share_of_epochs(halving: HalvingConfig, num_epochs: int) -> float:
    """Return the share of its epochs that a trial trains on average, if one of ``eta`` goes on after each rung."""
    rungs = halving.rungs_of(num_epochs)
    if not rungs or halving.rule == "all":
        return 1.0
    if halving.rule != "hyperband":
        return _share_of_epochs(rungs, halving.eta, num_epochs)
    sizes = bracket_sizes(len(rungs), halving.eta)
    shares = [_share_of_epochs(rungs[bracket:], halving.eta, num_epochs) for bracket in range(len(sizes))]
    return sum(size * share for size, share in zip(sizes, shares, strict=True)) / sum(sizes)


def _share_of_epochs(rungs: Sequence[int], eta: int, num_epochs: int) -> float:
    share = 0.0
    for index, (start, end) in enumerate(itertools.pairwise((0, *rungs, num_epochs))):
        share += (end - start) / num_epochs / eta**index
    return share
