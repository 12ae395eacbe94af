"""Run one stage, or all stages that a run still needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import StorageError
from pruning_core.precision import precision_used
from pruning_core.progress import ProgressReporter, report_nothing
from pruning_core.stage_graphs import STAGES
from pruning_core.stage_keys import RunPlan, plan_run
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import build_dense
from pruning_core.stages.importance import build_importance, build_sensitivity
from pruning_core.stages.peak_memory import measure_peak_memory, process_peak_mb
from pruning_core.stages.recovery import build_fine_tuned
from pruning_core.stages.run_result import RunResult
from pruning_core.stages.saliency import build_explanations, build_predictor, build_trained_selector
from pruning_core.stages.selection import build_selection

STAGE_FUNCTIONS: dict[str, Callable[[StageContext], Artifact]] = {
    "dense": build_dense,
    "predictor": build_predictor,
    "selector": build_trained_selector,
    "explanations": build_explanations,
    "importance": build_importance,
    "sensitivity": build_sensitivity,
    "steer": build_selection,
    "allocate": build_selection,
    "fine_tune": build_fine_tuned,
}

DATA_PARALLEL_STAGES = frozenset({"dense", "predictor", "selector", "fine_tune"})
"""Several processes build these together; the first one builds the others, while the rest wait."""


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


def run_stage(
    name: str,
    config: PruningConfig,
    *,
    data: DataSplits,
    store: ArtifactStore,
    device: str = "cpu",
    report: ProgressReporter = report_nothing,
    compiler: str | None = None,
) -> StageOutcome:
    """Run one stage of a run, unless its artifact is in the store already.

    Raises:
        PrunefrontError: What the stage refuses; also when an earlier stage has not been run.
    """
    context = _context(name, config, data, store, device=device, report=report)
    return _run(name, replace(context, compiler=compiler))


def run_trial(
    config: PruningConfig,
    *,
    data: DataSplits,
    store: ArtifactStore,
    device: str = "cpu",
    report: ProgressReporter = report_nothing,
    processes: Processes = ALONE,
    compiler: str | None = None,
) -> RunResult:
    """Run every stage that is missing, and put together what the run found out.

    ``compiler``: of classifiers that are trained, see ``pruning_core.compiling``; like the device, in no key.
    Several processes call this with the same settings, data and store, each with its device; all return the same.

    Raises:
        PrunefrontError: What a stage refuses; finished stages stay in the store.
    """
    plan = plan_run(config, data.fingerprint)
    _check_shares(plan, config, data, processes)
    outcomes: dict[str, StageOutcome] = {}
    for node in plan.nodes:
        context = _context(node.name, config, data, store, device=device, report=report)
        outcomes[node.name] = _run(node.name, replace(context, processes=processes, compiler=compiler))
    return assemble_result(plan, outcomes, store)


def assemble_result(plan: RunPlan, outcomes: dict[str, StageOutcome], store: ArtifactStore) -> RunResult:
    """Read the artifacts of a finished run into one result."""
    dense, final = store.get(plan.key_of("dense")), store.get(plan.trial_key)
    assert dense is not None
    assert final is not None
    selector = store.get(plan.key_of("selector")) if "selector" in outcomes else None
    facts = final.facts
    return RunResult(
        trial_key=plan.trial_key,
        num_images=facts["num_images"],
        num_correct_dense=dense.facts["num_correct"],
        num_correct_after_removal=facts["num_correct_after_removal"],
        num_correct_fine_tuned=facts["num_correct"],
        macs=facts["macs"],
        params=facts["params"],
        dense_macs=facts["dense_macs"],
        dense_params=facts["dense_params"],
        limits=facts["limits"],
        kept={name: (kept, dense_count) for name, (kept, dense_count) in facts["widths"].items()},
        explanation_distance=facts["explanation_distance"],
        explanation_similarity=facts["explanation_similarity"],
        selector_agreement=selector.facts["agreement"] if selector is not None else None,
        mask_area=selector.facts["mean_area"] if selector is not None else None,
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


def _check_shares(plan: RunPlan, config: PruningConfig, data: DataSplits, processes: Processes) -> None:
    """Refuse batches that do not divide between the processes before the first hour of training, not after it."""
    batch_sizes = {
        "dense": config.dense_training.batch_size,
        "predictor": config.saliency.predictor.batch_size,
        "selector": config.saliency.selector.batch_size,
        "fine_tune": config.fine_tuning.batch_size,
    }
    for node in plan.nodes:
        if node.name in DATA_PARALLEL_STAGES:
            processes.share_of(min(batch_sizes[node.name], len(data.train)))


def _context(
    name: str,
    config: PruningConfig,
    data: DataSplits,
    store: ArtifactStore,
    *,
    device: str,
    report: ProgressReporter,
) -> StageContext:
    return StageContext(
        config=config,
        plan=plan_run(config, data.fingerprint),
        data=data,
        store=store,
        device=device,
        report=lambda done, total: report(name, done, total),
    )


def _run(name: str, context: StageContext) -> StageOutcome:
    key, processes = context.plan.key_of(name), context.processes
    was_cached = processes.agree(answer=context.store.has(key))
    if not was_cached:
        _build(name, context)
        processes.wait()
    found = context.store.get(key)
    if found is None:
        raise StorageError(
            f"the results folder {context.store.root} must be one that all processes see, but process "
            f"{processes.rank} does not find artifact {key} there"
        )
    return _outcome(key, found.facts, was_cached=was_cached)


def _build(name: str, context: StageContext) -> None:
    """Do this process's part in building a stage; the first process stores what came out."""
    is_shared_work = name in DATA_PARALLEL_STAGES
    if not (is_shared_work or context.processes.is_first):
        return
    started = time.perf_counter()
    with measure_peak_memory(context.device) as peak:
        artifact = STAGE_FUNCTIONS[name](context if is_shared_work else replace(context, processes=ALONE))
    facts = {
        **artifact.facts,
        "stage": name,
        "seconds": time.perf_counter() - started,
        "peak_memory_mb": peak.resident_mb,
        "peak_gpu_memory_mb": peak.gpu_mb,
    }
    if "precision" in STAGES[name].reads:
        facts["precision"] = precision_used(context.config.precision, context.device)
    if context.processes.is_first:
        context.store.put(context.plan.key_of(name), Artifact(tensors=artifact.tensors, facts=facts))


def _outcome(key: str, facts: Mapping[str, Any], *, was_cached: bool) -> StageOutcome:
    return StageOutcome(
        key=key,
        seconds=facts["seconds"],
        was_cached=was_cached,
        peak_memory_mb=facts.get("peak_memory_mb"),
        peak_gpu_memory_mb=facts.get("peak_gpu_memory_mb"),
    )
