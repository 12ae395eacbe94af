"""The saliency gallery as the page lays it out: pictures with masks, how alike they are, and what classes lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.formats import counted, percent
from reports.fronts import StudyFront, scores_of
from reports.gallery import ExplanationGallery, GalleryNetwork
from reports.png import image_address, mask_address

__all__ = ["GalleryView", "gallery_view"]

_MASK_COLOUR = (255, 92, 30)  # seen on black, white and coloured images alike
_MOST_CLASSES = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryColumn:
    """A slim network: its trial, and what stands below that."""

    number: int
    method: str
    share: str
    similarity: str
    same_class: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryCell:
    """An image under one network's mask. ``answer``: the class that it predicts, where that is not the dense one's."""

    mask: str
    similarity: str
    answer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryRow:
    """One image: its address and class, the dense network's mask and answer, and a cell per slim network."""

    image: str
    label: str
    dense_mask: str
    dense_answer: str
    is_right: bool
    cells: tuple[GalleryCell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorRow:
    """A class: how many channels of the dense network detect it, and of those how many each network keeps."""

    label: str
    dense: int
    kept: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryView:
    """What the template fills in. ``lost``: by network that lost some, in which groups which classes have none left."""

    intro: str
    note: str
    columns: tuple[GalleryColumn, ...]
    rows: tuple[GalleryRow, ...]
    detectors: tuple[DetectorRow, ...]
    detector_note: str
    lost: tuple[tuple[int, tuple[tuple[str, str], ...]], ...]


def gallery_view(front: StudyFront) -> GalleryView | None:
    """Format the gallery of a study; None if it has none."""
    gallery = front.study.gallery
    if gallery is None:
        return None
    shares = {record.number: scores_of(record).macs_share for record in front.ranked}
    methods = {record.number: record.method.replace("_", " ") for record in front.ranked}
    return GalleryView(
        intro=_intro(gallery),
        note=gallery.note,
        columns=tuple(
            GalleryColumn(
                number=network.number,
                method=methods.get(network.number, ""),
                share=percent(shares[network.number], 0) if network.number in shares else "",
                similarity=percent(network.similarity, 0),
                same_class=percent(network.same_class, 0),
            )
            for network in gallery.networks
        ),
        rows=tuple(_row(gallery, index) for index in range(len(gallery.labels))),
        detectors=_detectors(gallery),
        detector_note=_detector_note(gallery),
        lost=tuple(
            (network.number, _lost(gallery, network)) for network in gallery.networks if network.lost_in
        ),
    )


def _intro(gallery: ExplanationGallery) -> str:
    bumps = counted(gallery.num_basis, "bump")
    kept = (
        ""
        if gallery.agreement is None
        else f", and they keep {percent(gallery.agreement, 0)} of the dense network's predictions"
    )
    return (
        f"Coloured is where a network finds its answer, of validation images and for the class that the dense network "
        f"predicts. All masks are drawn by one selector, that of trial {gallery.explainer}, whatever the method: "
        f"{bumps} each{kept}. Below a picture stands how much its mask overlaps the dense one; in the head of the "
        f"table, the mean over {gallery.num_images:,} images. Trials of other selectors have other values further up."
    )


def _row(gallery: ExplanationGallery, index: int) -> GalleryRow:
    names, dense_class = gallery.class_names, gallery.dense_classes[index]
    return GalleryRow(
        image=image_address(gallery.images[index]),
        label=names[gallery.labels[index]],
        dense_mask=mask_address(gallery.dense_masks[index], _MASK_COLOUR),
        dense_answer=names[dense_class],
        is_right=dense_class == gallery.labels[index],
        cells=tuple(
            GalleryCell(
                mask=mask_address(network.masks[index], _MASK_COLOUR),
                similarity=percent(network.similarities[index], 0),
                answer="" if network.classes[index] == dense_class else names[network.classes[index]],
            )
            for network in gallery.networks
        ),
    )


def _detectors(gallery: ExplanationGallery) -> tuple[DetectorRow, ...]:
    """Return the classes in their order; of very many, those that keep the smallest share of their detectors."""
    if not gallery.detectors_by_class:
        return ()
    rows = [
        DetectorRow(
            label=name,
            dense=gallery.detectors_by_class[label],
            kept=tuple(network.detectors_by_class[label] for network in gallery.networks),
        )
        for label, name in enumerate(gallery.class_names)
    ]
    if len(rows) <= _MOST_CLASSES:
        return tuple(rows)
    return tuple(sorted(rows, key=_least_kept)[:_MOST_CLASSES])


def _least_kept(row: DetectorRow) -> float:
    return min(row.kept, default=0) / row.dense if row.dense else 1.0


def _detector_note(gallery: ExplanationGallery) -> str:
    if not gallery.detectors_by_class:
        return "Detectors of classes were not counted: it cannot be told which layers read this network's channels."
    left_out = len(gallery.class_names) - _MOST_CLASSES
    return f"{left_out} classes that keep more of their detectors are not listed." if left_out > 0 else ""


def _lost(gallery: ExplanationGallery, network: GalleryNetwork) -> tuple[tuple[str, str], ...]:
    return tuple((group, _names(gallery, labels)) for group, labels in network.lost_in.items())


def _names(gallery: ExplanationGallery, labels: Sequence[int]) -> str:
    shown = ", ".join(gallery.class_names[label] for label in labels[:_MOST_CLASSES])
    left_out = len(labels) - _MOST_CLASSES
    return shown + (f" and {left_out} more" if left_out > 0 else "")
