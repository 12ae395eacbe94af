"""The report of a study: one HTML file that works offline, with tables and still figures beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from reports.figures import FIGURES
from reports.figures.writing import FIGURE_KINDS, figure_files
from reports.files import write_atomically
from reports.formats import amount, duration, percent, points, slim_accuracy
from reports.fronts import StudyFront, find_front, hypervolume_history
from reports.page_content import page_content
from reports.plots import PLOTS, Drawing, Plot
from reports.plots.theme import DARK
from reports.records import StudyRecords
from reports.tables import front_table, table_files, trials_table

__all__ = ["ReportFiles", "render_page", "write_report"]

_SHARED_FIELDS = ("text", "customdata")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """Where the parts of a report were written. ``figures``: SVG and PNG, in a folder of their own."""

    page: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _PagePlot:
    title: str
    reading: str
    note: str
    height: int
    least_width: int
    json: Markup


def write_report(study: StudyRecords, folder: Path) -> ReportFiles:
    """Write ``report.html``, the tables ``front`` and ``trials`` as CSV and Parquet, and ``figures/``.

    Each file appears complete or not at all, so a reader never sees half of one. Figures that a study has nothing to
    show in any more are removed.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    history = study.hypervolume_history or hypervolume_history(study)
    front = find_front(study.model_copy(update={"hypervolume_history": history}))
    tables = tuple(
        write_atomically(folder / name, content)
        for stem, table in (("front", front_table(front)), ("trials", trials_table(study)))
        for name, content in table_files(stem, table)
    )
    figures = _write_figures(front, folder / "figures")
    page = write_atomically(folder / "report.html", render_page(front).encode())
    return ReportFiles(page=page, tables=tables, figures=figures)


def _write_figures(front: StudyFront, folder: Path) -> tuple[Path, ...]:
    folder.mkdir(exist_ok=True)
    written = tuple(write_atomically(folder / name, content) for name, content in figure_files(front))
    known = {f"{name}.{kind}" for name in FIGURES for kind in FIGURE_KINDS}
    for name in known - {path.name for path in written}:
        (folder / name).unlink(missing_ok=True)
    return written


def render_page(study: StudyRecords | StudyFront) -> str:
    """Return the whole page as text: markup, styles, figures and one copy of plotly.js; it loads nothing."""
    front = study if isinstance(study, StudyFront) else find_front(study)
    plots, labels = _draw_plots(front)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "amount": amount,
        "duration": duration,
        "percent": percent,
        "points": points,
        "slim_accuracy": slim_accuracy,
    }
    return environment.from_string(_package_text("page.html")).render(
        page=page_content(front),
        plots=plots,
        labels=_as_script_data(json.dumps(labels)),
        css=_package_text("page.css"),
        js=_package_text("page.js"),
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 (plotly's own script)
        dark_colours=_as_script_data(json.dumps(DARK)),
    )


def _draw_plots(front: StudyFront) -> tuple[dict[str, _PagePlot], list[str]]:
    """Return the plots, and the texts that their markers share."""
    positions: dict[str, int] = {}
    drawings = ((name, plot, plot.draw(front)) for name, plot in PLOTS.items())
    plots = {
        name: _page_plot(plot, drawing, positions) for name, plot, drawing in drawings if drawing is not None
    }
    return plots, list(positions)


def _page_plot(plot: Plot, drawing: Drawing, positions: dict[str, int]) -> _PagePlot:
    figure = json.loads(drawing.figure.to_json())
    for trace in figure["data"]:
        _share_labels(trace, positions)
    return _PagePlot(
        title=plot.title,
        reading=plot.reading,
        note=drawing.note,
        height=int(drawing.figure.layout.height),
        least_width=drawing.least_width,
        json=_as_script_data(json.dumps(figure)),
    )


def _share_labels(trace: dict[str, Any], positions: dict[str, int]) -> None:
    """Replace hover texts and links, which several plots repeat, by their positions in one list for the page."""
    shared = []
    for field in _SHARED_FIELDS:
        texts = trace.get(field)
        if isinstance(texts, list) and all(text is None or isinstance(text, str) for text in texts):
            trace[field] = [
                None if text is None else positions.setdefault(text, len(positions)) for text in texts
            ]
            shared.append(field)
    if shared:
        trace["meta"] = {"shared": shared}


def _as_script_data(text: str) -> Markup:
    """Make JSON safe inside a script element: no character can end it or begin a comment."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 (escaped above)


def _package_text(name: str) -> Markup:
    return Markup(resources.files("reports").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704 (our own file)
