"""Galleries of finished runs, whatever their method, explained by one run's selector; kept as artifacts.

Beside the key system: nothing is chosen by a gallery. A gallery's own key is made of the keys of what it shows, which
a trial's record holds, so that one made before is found without loading any data.

Shape suffixes used in this file:
    C, K  channels of a group, classes
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

from torch import Tensor

from pruning_core.channels.structures import ChannelSelection
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.gallery import DenseGallery, GallerySettings, SlimGallery, draw_dense, draw_slim
from pruning_core.importance import ClassProfile, DetectorCounts, count_detectors, measure_class_profiles
from pruning_core.stage_keys import KEY_LENGTH
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense
from pruning_core.stages.explanation_scores import at_dense_width
from pruning_core.stages.finished_run import finished_context
from pruning_core.stages.importance import importance_subject
from pruning_core.stages.recovery import channel_graph, load_fine_tuned, selection_stage
from pruning_core.stages.saliency import load_selector

_VERSION = 1  # raised when galleries are drawn otherwise
_MEAN, _SHARE = "class_mean/", "class_share/"  # each followed by the group
_PROFILED, _NAMES, _DETECTORS = "profiled", "class_names", "detectors"

Gallery = TypeVar("Gallery", DenseGallery, SlimGallery)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunGallery:
    """A finished run beside its dense network.

    ``detectors``: by group of channels, how many detected each class and how many of those stay; empty where the
    network's read points cannot be told.
    """

    class_names: tuple[str, ...]
    dense: DenseGallery
    slim: SlimGallery
    detectors: Mapping[str, DetectorCounts]


def find_gallery(
    store: ArtifactStore,
    keys: Mapping[str, str],
    explainer_keys: Mapping[str, str],
    settings: GallerySettings | None = None,
) -> RunGallery | None:
    """Return a gallery that was made before.

    Args:
        store: Where it would lie.
        keys: Of the run's artifacts, by stage, as a trial's record has them.
        explainer_keys: Of the run whose selector explains.
        settings: As it was made with.
    """
    settings = settings or GallerySettings()
    dense = store.get(_dense_key(explainer_keys, settings))
    slim = store.get(_slim_key(keys, explainer_keys, settings))
    if dense is None or slim is None:
        return None
    return RunGallery(
        class_names=tuple(dense.facts[_NAMES]),
        dense=_read(DenseGallery, dense),
        slim=_read(SlimGallery, slim),
        detectors=_read_detectors(slim),
    )


def gallery_of_run(
    config: PruningConfig,
    explainer: PruningConfig,
    settings: GallerySettings | None = None,
    *,
    data: DataSplits,
    store: ArtifactStore,
    device: str = "cpu",
) -> RunGallery:
    """Draw a finished run's explanations of validation images; on the second call, read them.

    Args:
        config: The run; its method need not have a selector.
        explainer: A run of the same dense network with a selector; its stages up to ``selector`` are finished.
        settings: How much.
        data: The splits of both runs.
        store: Where their artifacts are, and where the gallery is kept.
        device: Where the networks run.

    Raises:
        StorageError: A stage is not finished in this store.
    """
    settings = settings or GallerySettings()
    context = finished_context(config, data=data, store=store, device=device)
    teller = finished_context(explainer, data=data, store=store, device=device)
    keys, explainer_keys = _keys_of(context), _keys_of(teller)
    found = find_gallery(store, keys, explainer_keys, settings)
    if found is not None:
        return found
    dense = _dense_gallery(teller, settings, _dense_key(explainer_keys, settings))
    slim, detectors = _draw_run(context, teller, settings, dense)
    facts = {_DETECTORS: {group: asdict(counts) for group, counts in detectors.items()}}
    store.put(_slim_key(keys, explainer_keys, settings), Artifact(tensors=_tensors(slim), facts=facts))
    return RunGallery(class_names=data.class_names, dense=dense, slim=slim, detectors=detectors)


def _draw_run(
    context: StageContext, teller: StageContext, settings: GallerySettings, dense: DenseGallery
) -> tuple[SlimGallery, Mapping[str, DetectorCounts]]:
    selector = load_selector(teller)
    graph = channel_graph(context, load_dense(context).cpu(), selector)
    selection = ChannelSelection.from_plain(context.artifact(selection_stage(context)).facts["kept"])
    slim = draw_slim(
        load_fine_tuned(context),
        selector,
        context.data.validation,
        context.data.normalisation,
        settings,
        dense,
        see_map=at_dense_width(selector, graph, selection),
        device=context.device,
    )
    profiles = _class_profiles(context)
    return slim, count_detectors(profiles, selection) if profiles else {}


def _dense_gallery(teller: StageContext, settings: GallerySettings, key: str) -> DenseGallery:
    found = teller.store.get(key)
    if found is not None:
        return _read(DenseGallery, found)
    gallery = draw_dense(
        load_dense(teller),
        load_selector(teller),
        teller.data.validation,
        teller.data.normalisation,
        settings,
        device=teller.device,
    )
    names = list(teller.data.class_names)
    teller.store.put(key, Artifact(tensors=_tensors(gallery), facts={_NAMES: names}))
    return gallery


def _class_profiles(context: StageContext) -> dict[str, ClassProfile]:
    """Return which classes the dense network's channels answer to, measured once for all runs of any method."""
    config = context.config
    asked = (config.channels.scope, config.importance.num_images, config.dense_seed)
    key = _hash("class profiles", context.plan.key_of("dense"), *asked)
    found = context.store.get(key)
    if found is None:
        found = _measure_profiles(context)
        context.store.put(key, found)
    return {
        name.removeprefix(_MEAN): ClassProfile(
            mean_CK=mean_CK, share_CK=found.tensors[_SHARE + name.removeprefix(_MEAN)]
        )
        for name, mean_CK in found.tensors.items()
        if name.startswith(_MEAN)
    }


def _measure_profiles(context: StageContext) -> Artifact:
    try:
        profiles = measure_class_profiles(importance_subject(context))
    except UnsupportedNetworkError:
        return Artifact(facts={_PROFILED: False})  # the gallery has maps, and no detectors
    tensors: dict[str, Tensor] = {}
    for group, profile in profiles.items():
        tensors |= {_MEAN + group: profile.mean_CK, _SHARE + group: profile.share_CK}
    return Artifact(tensors=tensors, facts={_PROFILED: True})


def _keys_of(context: StageContext) -> dict[str, str]:
    return {node.name: node.key for node in context.plan.nodes}


def _dense_key(explainer_keys: Mapping[str, str], settings: GallerySettings) -> str:
    return _hash("dense gallery", explainer_keys["selector"], settings)


def _slim_key(keys: Mapping[str, str], explainer_keys: Mapping[str, str], settings: GallerySettings) -> str:
    return _hash("gallery", keys["fine_tune"], explainer_keys["selector"], settings)


def _hash(*parts: object) -> str:
    text = " ".join(map(str, (_VERSION, *parts)))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _tensors(gallery: DenseGallery | SlimGallery) -> dict[str, Tensor]:
    return {field.name: getattr(gallery, field.name) for field in fields(gallery)}


def _read(kind: type[Gallery], artifact: Artifact) -> Gallery:
    return kind(**artifact.tensors)


def _read_detectors(artifact: Artifact) -> dict[str, DetectorCounts]:
    return {
        group: DetectorCounts(dense=tuple(counts["dense"]), kept=tuple(counts["kept"]))
        for group, counts in artifact.facts[_DETECTORS].items()
    }
