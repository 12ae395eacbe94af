"""Measure the explanations of finished runs, whatever their method, by one run's selector."""

from __future__ import annotations

from pruning_core.channels.structures import ChannelSelection
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits, LabelledImages
from pruning_core.fidelity import DenseReference, Fidelity, FidelitySettings, measure_fidelity, study_dense
from pruning_core.stages.artifact_store import ArtifactStore
from pruning_core.stages.dense import load_dense
from pruning_core.stages.explanation_scores import at_dense_width
from pruning_core.stages.finished_run import finished_context
from pruning_core.stages.recovery import channel_graph, load_fine_tuned, selection_stage
from pruning_core.stages.saliency import load_selector


def study_dense_of_run(
    config: PruningConfig,
    images: LabelledImages,
    settings: FidelitySettings | None = None,
    *,
    data: DataSplits,
    store: ArtifactStore,
    device: str = "cpu",
) -> DenseReference:
    """Explain images by a run's dense network and its selector, once for all runs that prune this network.

    Args:
        config: A run with a selector; its stages up to ``selector`` are finished.
        images: Of ``data``.
        settings: How finely.
        data: The splits of the run.
        store: Where its artifacts are.
        device: Where the networks run.

    Raises:
        StorageError: A stage is not finished in this store.
    """
    context = finished_context(config, data=data, store=store, device=device)
    return study_dense(
        load_dense(context), load_selector(context), images, data.normalisation, settings, device=device
    )


def fidelity_of_run(
    config: PruningConfig, reference: DenseReference, *, data: DataSplits, store: ArtifactStore
) -> Fidelity:
    """Measure a finished run's slim network against its dense network.

    Args:
        config: The run; its method need not have a selector.
        reference: Of the same dense network.
        data: The splits of the run.
        store: Where its artifacts are.

    Raises:
        StorageError: The run is not finished in this store.
    """
    subject = reference.subject
    context = finished_context(config, data=data, store=store, device=subject.device)
    graph = channel_graph(context, load_dense(context).cpu(), subject.selector)
    selection = ChannelSelection.from_plain(context.artifact(selection_stage(context)).facts["kept"])
    return measure_fidelity(
        reference, load_fine_tuned(context), at_dense_width(subject.selector, graph, selection)
    )
