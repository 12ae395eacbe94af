"""The artifacts of a run's stages, read into one result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pruning_core.stage_keys import RunPlan
from pruning_core.stages.artifact_store import ArtifactStore
from pruning_core.stages.peak_memory import process_peak_mb
from pruning_core.stages.run_result import RunResult

__all__ = ["StageOutcome", "assemble_result"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOutcome:
    """A finished stage. ``seconds`` and peaks: what it cost when it ran; ``was_cached``: it had run before.

    The peaks, in 10**6 bytes, are those of ``PeakMemory``; None also in artifacts made before they were kept.
    """

    key: str
    seconds: float
    was_cached: bool
    peak_memory_mb: float | None = None
    peak_gpu_memory_mb: float | None = None

    @classmethod
    def of(cls, key: str, facts: Mapping[str, Any], *, was_cached: bool) -> StageOutcome:
        """Read what an artifact's facts say of its making."""
        return cls(
            key=key,
            seconds=facts["seconds"],
            was_cached=was_cached,
            peak_memory_mb=facts.get("peak_memory_mb"),
            peak_gpu_memory_mb=facts.get("peak_gpu_memory_mb"),
        )


def assemble_result(plan: RunPlan, outcomes: Mapping[str, StageOutcome], store: ArtifactStore) -> RunResult:
    """Read the artifacts of a run into one result; its last outcome is of the whole fine-tuning, or of a rung of it."""
    dense, facts = store.facts(plan.key_of("dense")), store.facts(outcomes["fine_tune"].key)
    assert dense is not None
    assert facts is not None
    selector = store.facts(plan.key_of("selector")) if "selector" in outcomes else None
    return RunResult(
        trial_key=plan.trial_key,
        num_images=facts["num_images"],
        num_correct_dense=dense["num_correct"],
        num_correct_after_removal=facts["num_correct_after_removal"],
        num_correct_fine_tuned=facts["num_correct"],
        macs=facts["macs"],
        params=facts["params"],
        dense_macs=facts["dense_macs"],
        dense_params=facts["dense_params"],
        limits=facts["limits"],
        kept={name: (kept, dense_count) for name, (kept, dense_count) in facts["widths"].items()},
        explanation_distance=facts.get("explanation_distance"),
        explanation_similarity=facts.get("explanation_similarity"),
        selector_agreement=selector["agreement"] if selector is not None else None,
        mask_area=selector["mean_area"] if selector is not None else None,
        stage_seconds={name: outcome.seconds for name, outcome in outcomes.items()},
        cached_stages=tuple(name for name, outcome in outcomes.items() if outcome.was_cached),
        artifact_keys={name: outcome.key for name, outcome in outcomes.items()},
        stage_peak_memory_mb=_known({name: outcome.peak_memory_mb for name, outcome in outcomes.items()}),
        stage_peak_gpu_memory_mb=_known(
            {name: outcome.peak_gpu_memory_mb for name, outcome in outcomes.items()}
        ),
        peak_memory_mb=_run_peak_mb(outcomes.values()),
        activation_memory=facts.get("activation_memory"),
        dense_activation_memory=facts.get("dense_activation_memory"),
        latency_ms=facts.get("latency_ms"),
        dense_latency_ms=facts.get("dense_latency_ms"),
        block_macs=facts.get("block_macs"),
        dense_block_macs=facts.get("dense_block_macs"),
        num_correct_after_reconstruction=facts.get("num_correct_after_reconstruction"),
    )


def _run_peak_mb(outcomes: Iterable[StageOutcome]) -> float:
    """Return the largest peak of the stages that ran here; of the process now, if none did."""
    ran = (outcome.peak_memory_mb for outcome in outcomes if not outcome.was_cached)
    return max((peak for peak in ran if peak is not None), default=process_peak_mb())


def _known(peaks: Mapping[str, float | None]) -> dict[str, float]:
    return {name: peak for name, peak in peaks.items() if peak is not None}
