"""What every plot returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

from reports.fronts import StudyFront

__all__ = ["Drawing", "Plot"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A figure and what the reader must know about this one, such as points left out.

    ``least_width``: pixels below which it is scrolled sideways instead of squeezed.
    """

    figure: go.Figure
    note: str = ""
    least_width: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A plot of a study: its title, how to read it, and how to draw it (None: the study has nothing to show)."""

    title: str
    reading: str
    draw: Callable[[StudyFront], Drawing | None]
