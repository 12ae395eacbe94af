"""Use what a finished run left behind: its network, and its score on the test split.

The test split is looked at once per network, for networks that were chosen; the score is kept as an artifact.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.kept_artifacts import score_key
from pruning_core.progress import report_no_step
from pruning_core.stage_keys import plan_run
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense
from pruning_core.stages.recovery import load_fine_tuned
from pruning_core.training import Evaluation, evaluate


def load_slim_network(
    config: PruningConfig, *, data: DataSplits, store: ArtifactStore, device: str = "cpu"
) -> nn.Module:
    """Return the slim, fine-tuned network of a finished run, in eval mode.

    Raises:
        StorageError: The run is not finished in this store.
    """
    return load_fine_tuned(finished_context(config, data=data, store=store, device=device))


def load_dense_network(
    config: PruningConfig, *, data: DataSplits, store: ArtifactStore, device: str = "cpu"
) -> nn.Module:
    """Return the dense network of a run, in eval mode.

    Raises:
        StorageError: Its stage is not finished in this store.
    """
    return load_dense(finished_context(config, data=data, store=store, device=device))


def slim_layout_of(config: PruningConfig, *, data: DataSplits, store: ArtifactStore) -> dict[str, object]:
    """Return the layout of a finished run's network: kept inputs and outputs per layer."""
    layout: dict[str, object] = (
        finished_context(config, data=data, store=store).artifact("fine_tune").facts["layout"]
    )
    return layout


def evaluate_on_test(
    config: PruningConfig, *, data: DataSplits, store: ArtifactStore, device: str = "cpu"
) -> tuple[Evaluation, Evaluation]:
    """Return the test scores of the slim and of the dense network; measured on the first call, then read.

    Raises:
        StorageError: The run is not finished in this store.
    """
    context = finished_context(config, data=data, store=store, device=device)
    slim = _kept_score("fine_tune", context, lambda: load_fine_tuned(context))
    dense = _kept_score("dense", context, lambda: load_dense(context))
    return slim, dense


def _kept_score(stage: str, context: StageContext, load: Callable[[], nn.Module]) -> Evaluation:
    key = score_key(context.plan.key_of(stage))
    facts = context.store.facts(key)
    if facts is not None:
        return Evaluation(**facts)
    data = context.data
    score = evaluate(load(), data.test, data.normalisation, device=context.device)
    facts = {"num_images": score.num_images, "num_correct": score.num_correct, "loss": score.loss}
    context.store.put(key, Artifact(facts=facts))
    return score


def finished_context(
    config: PruningConfig, *, data: DataSplits, store: ArtifactStore, device: str = "cpu"
) -> StageContext:
    """Return what reads the artifacts of a run whose stages are finished."""
    return StageContext(
        config=config,
        plan=plan_run(config, data.fingerprint),
        data=data,
        store=store,
        device=device,
        report=report_no_step,
    )
