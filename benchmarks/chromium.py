"""Pages in the system's Chromium, headless and without its own network traffic: for screenshots and browser tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Frame, Page, sync_playwright

__all__ = ["CHARTS", "draw_all_charts", "find_chromium", "open_chromium"]

CHARTS = ".canvas[data-figure]"
"""The places of a report's charts."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader"),  # 3-D without a GPU
)
_PATIENCE_MS = 60_000


def find_chromium() -> str | None:
    """Return the path of the system's Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name)) is not None), None)


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start Chromium, and end it.

    Raises:
        FileNotFoundError: It is not installed.
    """
    path = find_chromium()
    if path is None:
        raise FileNotFoundError(
            f"one of {', '.join(_NAMES)} must be installed, but none is; type `apt-get install chromium`"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=list(_ARGUMENTS), timeout=_PATIENCE_MS
        )
        try:
            yield browser
        finally:
            browser.close()


def draw_all_charts(page: Page | Frame) -> list[str]:
    """Scroll through a report until every chart is drawn; return their names in the page's order."""
    names = []
    for chart in page.locator(CHARTS).all():
        chart.scroll_into_view_if_needed(timeout=_PATIENCE_MS)
        chart.locator(".main-svg").first.wait_for(state="attached", timeout=_PATIENCE_MS)
        names.append(str(chart.get_attribute("data-figure")).removeprefix("figure-"))
    return names
