"""Write still figures as files that come out alike from the same study."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reports.figures import FIGURES, StillFigure
from reports.fronts import StudyFront

__all__ = ["FIGURE_KINDS", "figure_files"]

FIGURE_KINDS = ("svg", "png")
_PIXELS_PER_INCH = 180
_STYLE: Any = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "prunefront"}


def figure_files(
    front: StudyFront, figures: Mapping[str, StillFigure] = FIGURES
) -> Iterator[tuple[str, bytes]]:
    """Draw the figures that the study has something for: file names with contents, SVG (text as text) and PNG."""
    with mpl.rc_context(rc=dict(_STYLE)):
        for name, draw in figures.items():
            figure = draw(front)
            if figure is not None:
                _lay_out_once(figure)
                yield f"{name}.svg", _svg(figure)
                yield f"{name}.png", _png(figure)


def _lay_out_once(figure: Figure) -> None:
    """Find places for all parts now; both files would do it again."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # not savefig, which draws everything twice
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.set_dpi(_PIXELS_PER_INCH)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
