"""For which classes explanations moved: similarity by class of each network in the gallery."""

from __future__ import annotations

from dataclasses import dataclass

from reports.formats import percent
from reports.fronts import StudyFront, scores_of
from reports.gallery import ExplanationGallery
from reports.plots.drawing import Drawing
from reports.plots.share_map import draw_share_map

__all__ = ["ClassDriftInfo", "class_drift_info", "draw_class_drift"]

_MOST_CLASSES = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassDriftInfo:
    """``similarities[network][class]``, each with a text; None for a class without images."""

    networks: tuple[str, ...]
    classes: tuple[str, ...]
    similarities: tuple[tuple[float | None, ...], ...]
    num_images: tuple[int, ...]
    num_classes: int


def class_drift_info(front: StudyFront) -> ClassDriftInfo | None:
    """Collect mean similarities by class; of very many classes the most moved. None without a gallery."""
    gallery = front.study.gallery
    if gallery is None:
        return None
    shares = {record.number: scores_of(record).macs_share for record in front.ranked}
    shown = _most_moved(gallery)
    return ClassDriftInfo(
        networks=tuple(
            f"trial {network.number}"
            + (f" at {percent(shares[network.number], 0)}" if network.number in shares else "")
            for network in gallery.networks
        ),
        classes=tuple(gallery.class_names[label] for label in shown),
        similarities=tuple(
            tuple(network.similarity_by_class[label] for label in shown) for network in gallery.networks
        ),
        num_images=tuple(gallery.num_by_class[label] for label in shown),
        num_classes=len(gallery.class_names),
    )


def draw_class_drift(front: StudyFront) -> Drawing | None:
    """Draw a heat map: one row per network, one column per class, dark where explanations stayed."""
    info = class_drift_info(front)
    if info is None:
        return None
    figure = draw_share_map(
        height=130 + max(110, 40 * len(info.networks)),
        title="similarity",
        x=info.classes,
        y=info.networks,
        z=info.similarities,
        customdata=[info.num_images] * len(info.networks),
        hovertemplate="%{y}, class %{x}<br>similarity %{z:.1%}, %{customdata} images<extra></extra>",
    )
    left_out = info.num_classes - len(info.classes)
    note = f"The {len(info.classes)} classes whose explanations moved most; {left_out} others are not drawn."
    return Drawing(figure=figure, note=note if left_out else "", least_width=240 + 24 * len(info.classes))


def _most_moved(gallery: ExplanationGallery) -> list[int]:
    """Return the classes with images, in their order; of very many those least similar in some network."""
    seen = [label for label, count in enumerate(gallery.num_by_class) if count]
    if len(seen) <= _MOST_CLASSES:
        return seen
    least = {
        label: min(network.similarity_by_class[label] or 0.0 for network in gallery.networks)
        for label in seen
    }
    return sorted(sorted(seen, key=lambda label: least[label])[:_MOST_CLASSES])
