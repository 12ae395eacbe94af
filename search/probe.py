"""One configuration of a search, run to tell what all of it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pruning_core.errors import InfeasibleBudgetsError
from reports.formats import amount, counted, duration, percent
from search.effort import Effort, estimate_effort
from search.execution.slots import count_slots
from search.first_proposals import FirstProposal
from search.gpu_sharing import sharing_text
from search.search_plan import SearchPlan
from search.spec import SearchSpec
from search.spec_settings import ResourcesConfig

__all__ = ["AssumedSlots", "Probe", "assume_slots", "choose_to_probe", "evaluate_probe", "probe_pairs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AssumedSlots:
    """How many trials an estimate runs at once. ``reason``: where that number is from, in words."""

    count: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What a probe found out. ``result``: of its run, as plain data. ``num_trials``: of the whole search."""

    result: Mapping[str, Any]
    num_trials: int
    slots: AssumedSlots
    effort: Effort


def assume_slots(resources: ResourcesConfig, wanted: int | None) -> AssumedSlots:
    """Decide how many trials an estimate runs at once.

    Args:
        resources: Of the search.
        wanted: By whoever asks; None: as many as the search would have on this machine.

    Raises:
        InvalidSettingsError: One trial needs more than this machine has, and no number is wanted.
    """
    if wanted is not None:
        return AssumedSlots(count=wanted, reason="by --slots")
    count = count_slots(resources)
    origin = "by resources.slots" if count == resources.slots else "as many as fit this machine"
    return AssumedSlots(count=count, reason=f"{origin}; for a cluster or another machine give --slots N")


def choose_to_probe(proposals: Sequence[FirstProposal]) -> FirstProposal:
    """Choose a configuration of middling cost: small networks train faster than large ones.

    Raises:
        InfeasibleBudgetsError: None of them can be met.
    """
    able = [one for one in proposals if one.problem is None]
    if not able:
        raise InfeasibleBudgetsError(
            f"a probe needs a configuration that can be met, but none of the first {len(proposals)} can; "
            "raise the budgets"
        )
    return sorted(able, key=lambda one: [*one.limits.values()])[len(able) // 2]


def evaluate_probe(
    spec: SearchSpec, found: SearchPlan, result: Mapping[str, Any], slots: AssumedSlots
) -> Probe:
    """Work out from one trial's result what the search will take."""
    num_trials = min(spec.limits.trials, spec.space.num_configurations or spec.limits.trials)
    effort = estimate_effort(
        stage_seconds=result["stage_seconds"],
        num_shared_stages=found.num_shared_stages,
        halving=spec.halving,
        num_epochs=spec.run.fine_tuning.epochs,
        num_trials=num_trials,
        slots=slots.count,
    )
    return Probe(result=result, num_trials=num_trials, slots=slots, effort=effort)


def probe_pairs(
    probe: Probe, resources: ResourcesConfig, *, gpu_mb: float | None, price: float | None
) -> list[tuple[str, str]]:
    """Write what a probe found out as names and values.

    Args:
        probe: What it found out.
        resources: Of the search.
        gpu_mb: Memory of the GPU it ran on; None: not known.
        price: Of one hour of one slot; None: unknown.
    """
    result, effort = probe.result, probe.effort
    took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in result["stage_seconds"].items())
    accuracy = percent(result["num_correct_fine_tuned"] / result["num_images"])
    trials = f"{counted(probe.num_trials, 'trial')} of {duration(effort.trial_s)}"
    hours = effort.work_s / 3600
    pairs = [
        ("probe", f"{took}; accuracy {accuracy}"),
        ("memory", f"{_resident(result)} per slot at the peak"),
        *_gpu_memory(result, resources, gpu_mb),
        ("work", f"{duration(effort.work_s)}: {duration(effort.shared_s)} of shared stages, {trials}"),
        ("slots", f"{probe.slots.count:,}, {probe.slots.reason}"),
        ("time", f"about {duration(effort.wall_s)} with {_conditions(probe.slots.count, resources)}"),
    ]
    if price is not None:
        pairs.append(
            ("cost", f"about {_figure(hours * price)}: {_figure(hours)} hours of one slot at {price:g} each")
        )
    return pairs


def _conditions(slots: int, resources: ResourcesConfig) -> str:
    """Write what an estimate of time takes for granted."""
    alike = f"{counted(slots, 'slot')} as fast as the one timed here, if nothing else runs there"
    if 0 < resources.gpus_per_trial < 1:
        return f"{alike} and trials that share a GPU do not slow each other down"
    return alike


def _resident(result: Mapping[str, Any]) -> str:
    """Write the peak of all stages: a slot runs shared ones too, also those that the probe found finished."""
    peaks: Mapping[str, float] = result["stage_peak_memory_mb"]
    return f"{amount(1e6 * max(peaks.values(), default=result['peak_memory_mb']))}B"


def _gpu_memory(
    result: Mapping[str, Any], resources: ResourcesConfig, gpu_mb: float | None
) -> list[tuple[str, str]]:
    """Write the peak on the GPU; how many trials may share one is said unless each process has its own."""
    peaks: Mapping[str, float] = result["stage_peak_gpu_memory_mb"]
    if not peaks or resources.gpus_per_trial == 0:
        return []
    peak_mb = max(peaks.values())
    if gpu_mb is None or resources.processes_per_trial > 1:
        return [("GPU memory", f"{amount(1e6 * peak_mb)}B at the peak of one process")]
    return [("GPU memory", sharing_text(peak_mb, gpu_mb, resources.gpus_per_trial))]


def _figure(value: float) -> str:
    """Write a number of any size with two decimals, or two digits where that would be little."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"
