"""Run one stage, or all stages that a run still needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import StorageError
from pruning_core.precision import precision_used
from pruning_core.progress import ProgressReporter, report_nothing
from pruning_core.stage_graphs import STAGES
from pruning_core.stage_keys import plan_run
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from pruning_core.stages.assembly import StageOutcome, assemble_result
from pruning_core.stages.checkpoints import CHECKPOINTED_STAGES, remove_checkpoints
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import build_dense
from pruning_core.stages.importance import build_importance, build_sensitivity
from pruning_core.stages.peak_memory import measure_peak_memory
from pruning_core.stages.recovery import build_fine_tuned, build_rung
from pruning_core.stages.run_result import RunResult
from pruning_core.stages.rungs import rung_key
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


def run_stage(
    name: str,
    config: PruningConfig,
    *,
    data: DataSplits,
    store: ArtifactStore,
    device: str = "cpu",
    report: ProgressReporter = report_nothing,
    processes: Processes = ALONE,
    compiler: str | None = None,
) -> StageOutcome:
    """Run one stage of a run, unless its artifact is in the store already; ``processes`` as for `run_trial`.

    Raises:
        PrunefrontError: What the stage refuses; also when an earlier stage has not been run.
    """
    _check_shares((name,), config, data, processes)
    context = _context(name, config, data, store, device=device, report=report)
    return _run(name, replace(context, processes=processes, compiler=compiler))


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
    _check_shares([node.name for node in plan.nodes], config, data, processes)
    outcomes: dict[str, StageOutcome] = {}
    for node in plan.nodes:
        context = _context(node.name, config, data, store, device=device, report=report)
        outcomes[node.name] = _run(node.name, replace(context, processes=processes, compiler=compiler))
    return assemble_result(plan, outcomes, store)


def run_rung(
    config: PruningConfig,
    epochs: int,
    *,
    data: DataSplits,
    store: ArtifactStore,
    device: str = "cpu",
    report: ProgressReporter = report_nothing,
    compiler: str | None = None,
) -> RunResult:
    """Run what is missing of a run up to some epochs of its fine-tuning, and put together what is known by then.

    What comes later (`run_trial`, a further rung) goes on from there. The result's accuracy is of the network so far;
    explanations are compared at the end of the run only.

    Raises:
        PrunefrontError: What a stage refuses, and epochs that are not between the first and the last.
    """
    plan = plan_run(config, data.fingerprint)
    outcomes: dict[str, StageOutcome] = {}
    for node in plan.nodes:
        context = _context(node.name, config, data, store, device=device, report=report)
        until = epochs if node.key == plan.trial_key else None
        outcomes[node.name] = _run(node.name, replace(context, compiler=compiler), until)
    return assemble_result(plan, outcomes, store)


def _check_shares(
    stages: Sequence[str], config: PruningConfig, data: DataSplits, processes: Processes
) -> None:
    """Refuse batches that do not divide between the processes before the first hour of training, not after it."""
    batch_sizes = {
        "dense": config.dense_training.batch_size,
        "predictor": config.saliency.predictor.batch_size,
        "selector": config.saliency.selector.batch_size,
        "fine_tune": config.fine_tuning.batch_size,
    }
    for name in DATA_PARALLEL_STAGES.intersection(stages):
        processes.share_of(min(batch_sizes[name], len(data.train)))


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


def _run(name: str, context: StageContext, epochs: int | None = None) -> StageOutcome:
    """Run a stage, or the fine-tuning up to some epochs, unless its artifact is in the store."""
    key, processes = context.plan.key_of(name), context.processes
    build = STAGE_FUNCTIONS[name]
    if epochs is not None:
        key, build = rung_key(key, epochs), partial(build_rung, epochs=epochs)
    was_cached = processes.agree(answer=context.store.has(key))
    if not was_cached:
        _build(name, key, build, context)
        processes.wait()
    facts = context.store.facts(key)
    if facts is None:
        raise StorageError(
            f"the results folder {context.store.address} must be one that all processes see, but process "
            f"{processes.rank} does not find artifact {key} there"
        )
    return StageOutcome.of(key, facts, was_cached=was_cached)


def _build(name: str, key: str, build: Callable[[StageContext], Artifact], context: StageContext) -> None:
    """Do this process's part in building a stage; the first process stores what came out."""
    is_shared_work = name in DATA_PARALLEL_STAGES
    if not (is_shared_work or context.processes.is_first):
        return
    started = time.perf_counter()
    with measure_peak_memory(context.device) as peak:
        artifact = build(context if is_shared_work else replace(context, processes=ALONE))
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
        context.store.put(key, Artifact(tensors=artifact.tensors, facts=_of_all_parts(facts)))
        if name in CHECKPOINTED_STAGES:
            remove_checkpoints(context, name)


def _of_all_parts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Add to what a stage cost what the parts before it, up to a rung or checkpoint, had cost."""
    whole = dict(facts)
    before: Mapping[str, float] = whole.pop("continued", {})
    if before:
        whole["seconds"] += before["seconds"]
        for name in ("peak_memory_mb", "peak_gpu_memory_mb"):
            peaks = [peak for peak in (whole[name], before.get(name)) if peak is not None]
            whole[name] = max(peaks, default=None)
    return whole
