"""The saliency gallery of a study: what networks on its front look at, drawn by one of its selectors.

This file imports torch, which takes seconds; `commands.report` imports it only where there is something to explain.

Shape suffixes used in this file:
    N, S  images measured, images shown
    C, H, W  colour channels, height and width in pixels
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, load_data
from pruning_core.errors import PrunefrontError
from pruning_core.gallery import DenseGallery
from pruning_core.importance import DetectorCounts
from pruning_core.stages import ArtifactStore, RunGallery, find_gallery, gallery_of_run
from reports.gallery import ExplanationGallery, GalleryNetwork, Pixels
from reports.records import TrialRecord
from reports.scores import NetworkScores
from search.studies.gallery_plan import GalleryPlan

__all__ = ["draw_gallery"]

Progress = Callable[[int, int], object]
"""Told how many networks are explained, of how many."""


def draw_gallery(
    plan: GalleryPlan, artifacts: Path | str, *, seconds: float, progress: Progress
) -> ExplanationGallery | str:
    """Draw a gallery; networks that were drawn before are read. A sentence says why there is none.

    Args:
        plan: What to draw.
        artifacts: Address of finished stages, and of galleries drawn before.
        seconds: After so many no further network is begun.
        progress: Told before each network and at the end.
    """
    painter = _Painter(plan, ArtifactStore(artifacts), until=time.monotonic() + seconds)
    drawn: list[tuple[TrialRecord, RunGallery]] = []
    notes = [plan.note] if plan.note else []
    for index, record in enumerate(plan.networks):
        progress(index, len(plan.networks))
        try:
            gallery = painter.paint(record)
        except PrunefrontError as error:
            notes.append(f"Trial {record.number} cannot be explained: {' '.join(str(error).split())}.")
            continue
        if gallery is None:
            notes.append(
                f"Trial {record.number} is not shown: the time for explanations was over. "
                "`prunefront report` goes on where it ended."
            )
            continue
        drawn.append((record, gallery))
    progress(len(plan.networks), len(plan.networks))
    if not drawn:
        return " ".join(notes)
    return _to_plain(plan.explainer, drawn, note=" ".join(notes))


@dataclass(slots=True)
class _Painter:
    """Draws galleries one by one; data is loaded at the first that was not drawn before."""

    plan: GalleryPlan
    store: ArtifactStore
    until: float
    explainer: PruningConfig = field(init=False)
    data: DataSplits | None = None

    def __post_init__(self) -> None:
        self.explainer = load_config(self.plan.explainer.config)

    def paint(self, record: TrialRecord) -> RunGallery | None:
        """Return a network's gallery; None if there is no time left to draw it.

        Raises:
            PrunefrontError: The data or an artifact is gone.
        """
        found = find_gallery(self.store, record.artifact_keys, self.plan.explainer.artifact_keys)
        if found is not None or time.monotonic() >= self.until:
            return found
        if self.data is None:
            self.data = load_data(self.explainer.dataset)
        return gallery_of_run(load_config(record.config), self.explainer, data=self.data, store=self.store)


def _to_plain(
    explainer: TrialRecord, drawn: list[tuple[TrialRecord, RunGallery]], note: str
) -> ExplanationGallery:
    first = drawn[0][1]
    dense, num_classes = first.dense, len(first.class_names)
    scores = explainer.scores
    assert isinstance(scores, NetworkScores)
    return ExplanationGallery(
        class_names=first.class_names,
        explainer=explainer.number,
        num_basis=load_config(explainer.config).saliency.num_basis,
        agreement=scores.selector_agreement,
        labels=_whole(dense.labels_N[dense.shown_S]),
        dense_classes=_whole(dense.classes_N[dense.shown_S]),
        images=_pixels(dense.pixels_SCHW),
        dense_masks=_pixels(dense.masks_SHW.unsqueeze(1)),
        num_by_class=_whole(torch.bincount(dense.labels_N, minlength=num_classes)),
        detectors_by_class=_added([counts.dense for counts in first.detectors.values()]),
        networks=tuple(_network(record, gallery, num_classes) for record, gallery in drawn),
        note=note,
    )


def _network(record: TrialRecord, gallery: RunGallery, num_classes: int) -> GalleryNetwork:
    dense, slim = gallery.dense, gallery.slim
    return GalleryNetwork(
        number=record.number,
        masks=_pixels(slim.masks_SHW.unsqueeze(1)),
        classes=_whole(slim.classes_N[dense.shown_S]),
        similarities=tuple(_in_unit(value) for value in slim.similarity_N[dense.shown_S].tolist()),
        similarity=_in_unit(slim.similarity_N.double().mean().item()),
        similarity_by_class=_by_class(dense, slim.similarity_N, num_classes),
        same_class=(slim.classes_N == dense.classes_N).double().mean().item(),
        detectors_by_class=_added([counts.kept for counts in gallery.detectors.values()]),
        lost_in=_lost(gallery.detectors),
    )


def _by_class(dense: DenseGallery, similarity_N: Tensor, num_classes: int) -> tuple[float | None, ...]:
    means = []
    for label in range(num_classes):
        of_class_N = similarity_N[dense.labels_N == label].double()
        means.append(_in_unit(of_class_N.mean().item()) if len(of_class_N) else None)
    return tuple(means)


def _lost(detectors: Mapping[str, DetectorCounts]) -> dict[str, tuple[int, ...]]:
    return {group: counts.lost for group, counts in detectors.items() if counts.lost}


def _added(rows: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


def _pixels(images_SCHW: Tensor) -> tuple[Pixels, ...]:
    num_channels, height, width = images_SCHW.shape[1:]
    return tuple(
        Pixels(
            width=width,
            height=height,
            num_channels=num_channels,
            data=image_CHW.permute(1, 2, 0).contiguous().numpy().tobytes(),
        )
        for image_CHW in images_SCHW
    )


def _whole(values: Tensor) -> tuple[int, ...]:
    return tuple(values.tolist())


def _in_unit(value: float) -> float:
    """Take back what rounding adds to a share."""
    return min(1.0, max(0.0, value))
