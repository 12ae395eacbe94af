"""Whose explanations the gallery of a study shows, and by which selector: chosen from records alone, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from reports.formats import counted
from reports.fronts import StudyFront, find_front, scores_of
from reports.plots.theme import thin_out
from reports.records import StudyRecords, TrialRecord, TrialStatus

__all__ = ["GalleryPlan", "plan_gallery"]

SELECTOR, DENSE, LAST = "selector", "dense", "fine_tune"
_MOST_NETWORKS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryPlan:
    """``explainer``: the trial whose selector draws all explanations. ``networks``: spread along the front, largest
    first. ``note``: what is left out; empty if nothing.
    """

    explainer: TrialRecord
    networks: tuple[TrialRecord, ...]
    note: str


def plan_gallery(study: StudyRecords, *, most_networks: int = _MOST_NETWORKS) -> GalleryPlan | str:
    """Choose what a gallery shows; a sentence says why there is none.

    One selector explains all networks, so that maps can be compared; it reads the maps of any network cut from the same
    dense one. Of a study's selectors it is the one whose masks keep the most predictions of the dense network.
    """
    front = find_front(study)
    if not front.points:
        return "There is no network to explain yet."
    explainer = _find_explainer(study)
    if explainer is None:
        return (
            "Explanations are drawn by a selector, and no complete trial of this study trained one: only those of the "
            "method interpretation_steered do."
        )
    same_dense = [record for record in front.points if _explainable(record, explainer)]
    if not same_dense:
        return (
            f"No network on the front was cut from the dense network that trial {explainer.number} explains."
        )
    shown = thin_out(same_dense, most_networks)
    return GalleryPlan(explainer=explainer, networks=shown, note=_note(front, shown))


def _find_explainer(study: StudyRecords) -> TrialRecord | None:
    trained = [
        record
        for record in study.records
        if record.status is TrialStatus.COMPLETE and SELECTOR in record.artifact_keys
    ]
    return max(
        trained,
        key=lambda record: (scores_of(record).selector_agreement or 0.0, -record.number),
        default=None,
    )


def _explainable(record: TrialRecord, explainer: TrialRecord) -> bool:
    keys = record.artifact_keys
    return LAST in keys and keys.get(DENSE) == explainer.artifact_keys.get(DENSE)


def _note(front: StudyFront, shown: tuple[TrialRecord, ...]) -> str:
    left_out = len(front.points) - len(shown)
    if not left_out:
        return ""
    return (
        f"{counted(left_out, 'further network')} of the front {'is' if left_out == 1 else 'are'} not shown."
    )
