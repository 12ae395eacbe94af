"""Everything the page says, computed and formatted; the template only lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.dense import dense_networks
from reports.formats import accuracy_text, clock_time, counted, duration, points
from reports.fronts import StudyFront, hypervolume, scores_of
from reports.objectives import OBJECTIVES
from reports.page_gallery import GalleryView, gallery_view
from reports.page_rows import DenseRow, PageRow, PageSuggestion, ShownColumns, page_rows, page_suggestions
from reports.page_text import GLOSSARY, SECTIONS, next_commands
from reports.plots.theme import thin_out
from reports.records import StudyRecords, TrialStatus
from reports.settings import SettingsSection, VariedField, common_settings, varied_fields
from reports.summary import (
    ReasonCount,
    StageTotal,
    StatusCount,
    dense_sentence,
    headline,
    reason_counts,
    stage_totals,
    status_counts,
    uncertainty,
)

__all__ = ["KeyFigure", "PageContent", "page_content"]

_MOST_ROWS = 120
_MOST_REASONS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFigure:
    """One large figure under the headline."""

    name: str
    value: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContent:
    """What the template fills in, in the order of the page."""

    study: StudyRecords
    sections: tuple[tuple[str, str], ...]
    chips: tuple[tuple[str, str], ...]
    headline: str
    lead: str
    figures: tuple[KeyFigure, ...]
    suggestions: tuple[PageSuggestion, ...]
    objective_names: str
    num_images: str
    table_note: str
    shows: ShownColumns
    num_columns: int
    dense_networks: tuple[DenseRow, ...]
    rows: tuple[PageRow, ...]
    gallery: GalleryView | None
    num_trials: str
    status_counts: tuple[StatusCount, ...]
    stage_totals: tuple[StageTotal, ...]
    reasons: tuple[tuple[str, tuple[ReasonCount, ...]], ...]
    most_reasons: int
    varied: tuple[VariedField, ...]
    about: tuple[tuple[str, str], ...]
    common: tuple[SettingsSection, ...]
    num_common: int
    glossary: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    written: str


def page_content(front: StudyFront) -> PageContent:
    """Compute everything the page of a study says."""
    study = front.study
    shown = thin_out(front.points, _MOST_ROWS)
    left_out = len(front.points) - len(shown)
    shows = ShownColumns.of(shown)
    rows = page_rows(front, {record.number for record in shown})
    common = common_settings(study.records)
    return PageContent(
        study=study,
        sections=_sections(front),
        chips=_chips(study),
        headline=headline(front),
        lead=_lead(front),
        figures=_key_figures(front),
        suggestions=page_suggestions(front),
        objective_names=_join_words([OBJECTIVES[name].label for name in study.objectives]),
        num_images=f"{max((scores_of(record).num_images for record in front.points), default=0):,}",
        table_note=f"{left_out:,} networks between these are in the table front.csv only."
        if left_out
        else "",
        shows=shows,
        num_columns=shows.num_columns,
        dense_networks=tuple(DenseRow.of(dense) for dense in dense_networks(study)),
        rows=rows,
        gallery=gallery_view(front),
        num_trials=counted(len(study.records), "trial"),
        status_counts=status_counts(study),
        stage_totals=stage_totals(study),
        reasons=tuple(
            (title, reason_counts(study.records, status))
            for title, status in (
                ("Why trials failed", TrialStatus.FAILED),
                ("Why trials were infeasible", TrialStatus.INFEASIBLE),
                ("Why trials were stopped", TrialStatus.STOPPED),
            )
        ),
        most_reasons=_MOST_REASONS,
        varied=varied_fields(study.records),
        about=_about(study),
        common=common,
        num_common=sum(len(section.fields) for section in common),
        glossary=GLOSSARY,
        commands=next_commands(front),
        written=clock_time(study.updated_at),
    )


def _sections(front: StudyFront) -> tuple[tuple[str, str], ...]:
    missing = set() if front.points else {"front", "networks", "search"}
    if not front.points or not (front.study.gallery or front.study.no_gallery):
        missing.add("explanations")
    return tuple(pair for pair in SECTIONS if pair[0] not in missing)


def _chips(study: StudyRecords) -> tuple[tuple[str, str], ...]:
    counts = {item.status: item.count for item in status_counts(study)}
    chips = []
    if TrialStatus.RUNNING in counts:
        chips.append(("running", f"{counts[TrialStatus.RUNNING]:,} running"))
    if TrialStatus.FAILED in counts:
        chips.append(("failed", f"{counts[TrialStatus.FAILED]:,} failed"))
    return tuple(chips)


def _lead(front: StudyFront) -> str:
    sentences = [dense_sentence(front.study)]
    width = uncertainty(front)
    if width is not None:
        images = f"{scores_of(front.points[0]).num_images:,}"
        sentences.append(
            f"Accuracies are counted on {images} validation images, which makes them uncertain by up to "
            f"{100 * width:.1f} points; smaller differences may be chance."
        )
    elif front.study.records:
        sentences.append("What happened to each trial is listed below.")
    return " ".join(sentence for sentence in sentences if sentence)


def _key_figures(front: StudyFront) -> tuple[KeyFigure, ...]:
    study = front.study
    if not study.records:
        return ()
    ended = sum(record.status is not TrialStatus.RUNNING for record in study.records)
    complete = sum(record.status is TrialStatus.COMPLETE for record in study.records)
    figures = [
        KeyFigure(name="Trials ended", value=f"{ended:,}", detail=f"{complete:,} of them complete"),
        KeyFigure(
            name="Search time",
            value=duration(max(0.0, study.updated_at - study.created_at)),
            detail=f"{duration(sum(record.seconds for record in study.records))} of computing",
        ),
    ]
    if not front.points:
        return tuple(figures)
    volume = hypervolume(front.points, study.objectives)
    best = max(map(scores_of, front.points), key=lambda scores: scores.accuracy)
    return (
        KeyFigure(
            name="On the front",
            value=f"{len(front.points):,}",
            detail=f"of {counted(len(front.ranked), 'network')}",
        ),
        KeyFigure(
            name="Best accuracy",
            value=accuracy_text(best.accuracy, best.num_images),
            detail=f"{points(-best.accuracy_drop)} points against dense",
        ),
        KeyFigure(name="Hypervolume", value=f"{volume:.3f}", detail="of 1, the unreachable ideal"),
        *figures,
    )


def _about(study: StudyRecords) -> tuple[tuple[str, str], ...]:
    constraints = ", ".join(f"{name} {text}" for name, text in study.constraints.items())
    pairs = [
        ("began", clock_time(study.created_at)),
        ("last change", clock_time(study.updated_at)),
        ("objectives", ", ".join(f"{direction} {name}" for name, direction in study.objectives.items())),
        *([("constraints", constraints)] if constraints else []),
        ("prunefront", study.version),
        *(
            (name.replace("_", " "), "none" if value is None else str(value))
            for name, value in study.machine.items()
        ),
    ]
    return tuple(pairs)


def _join_words(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
