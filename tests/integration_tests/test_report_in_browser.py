"""The report of a real search in headless Chromium: everything is drawn, answers the mouse, and needs no network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page

from benchmarks.chromium import CHARTS, draw_all_charts
from search.studies.folder import StudyFolder

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HAS_INK = """
canvas => {
  const drawn = [".trace", ".barlayer path", ".heatmaplayer image", ".parcoords canvas", ".gl-container canvas"];
  return [...canvas.querySelectorAll(drawn)].some(part => {
    const box = part.getBoundingClientRect();
    return box.width > 1 && box.height > 1;
  });
}
"""
SPILLING = """
() => [...document.querySelectorAll(".gallery th small, .gallery th, .pairs dt, .pairs dd")]
  .filter(part => part.scrollWidth > part.clientWidth + 1 && part.offsetParent)
  .map(part => part.textContent)
"""


class Watched:
    """A page with everything it asked the network for, and everything it complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type == "error" else None,
        )


@pytest.fixture(params=[(WIDE, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def report(
    request: pytest.FixtureRequest, browser: Browser, real_study: StudyFolder
) -> Iterator[tuple[Watched, str]]:
    """The report, opened as a file by a browser that is offline."""
    size, scheme = request.param
    context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
    watched = Watched(context)
    address = (real_study.report_path / "report.html").as_uri()
    watched.page.goto(address)
    yield watched, address
    context.close()


def test_every_chart_is_drawn_and_nothing_is_fetched_or_complained_of(report: tuple[Watched, str]) -> None:
    watched, address = report
    names = draw_all_charts(watched.page)
    assert {"accuracy_macs", "front_space", "hypervolume", "parallel"} <= set(names)
    blank = [
        name
        for name, chart in zip(names, watched.page.locator(CHARTS).all(), strict=True)
        if not chart.evaluate(HAS_INK)
    ]
    assert blank == []
    assert [url for url in watched.requests if not url.startswith(("data:", "blob:"))] == [address]
    assert watched.complaints == []
    width = watched.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], "the page must not scroll sideways"
    assert watched.page.evaluate(SPILLING) == [], "texts must stay in their cells"


def test_a_point_under_the_mouse_tells_its_trial_and_configuration(report: tuple[Watched, str]) -> None:
    watched, _ = report
    draw_all_charts(watched.page)
    texts = {}
    for chart in watched.page.locator(CHARTS).all():
        points = chart.locator(".scatterlayer .points path")
        if points.count():
            ends = [_hover(watched.page, chart, point) for point in (points.first, points.last)]
            assert all(ends)
            texts[chart.get_attribute("data-figure")] = "\n".join(ends)
    assert "trial" in texts["figure-accuracy_macs"].lower()
    assert "budgets.macs" in texts["figure-accuracy_macs"]
    assert watched.complaints == []


def _hover(page: Page, chart: Locator, point: Locator) -> str:
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 3, y - 3)
    page.mouse.move(x, y)
    label = chart.locator(".hoverlayer .hovertext").first
    label.wait_for(state="visible", timeout=10_000)
    return str(label.text_content())
