"""MLflow's pages of a study, opened in Chromium and waited for."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from playwright.sync_api import BrowserContext, Frame, Page

from reports.records import TRAINING_PAGES

__all__ = ["MlflowPages", "close_assistant", "wait_until_ready"]

_PATIENCE_MS = 90_000
_CLOSE_ASSISTANT = """
if (window === window.top) {  // frames of reports have no storage
  localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
  localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
}
"""


class MlflowPages:
    """Opens the pages of one study.

    Args:
        address: Of the server.
        runs: Which runs the study has, as `MlflowProjection` notes them.
    """

    def __init__(self, address: str, runs: Mapping[str, Any]) -> None:
        self._experiment = f"{address}/#/experiments/{runs['experiment']}"
        self._address = address
        self._runs = runs

    def open_runs(self, page: Page) -> None:
        """Open the table of runs as the link of ``prunefront ui`` does."""
        page.goto(f"{self._experiment}/runs?{TRAINING_PAGES}&viewStateShareKey={self._runs['view']}")
        page.get_by_text("trial-0000", exact=True).first.wait_for(timeout=_PATIENCE_MS)

    def filter_runs(self, page: Page, query: str, num_left: int) -> None:
        """Type a filter above the table of runs, and wait until that many are left."""
        box = page.get_by_test_id("search-box")
        box.fill(query)
        box.press("Enter")
        page.get_by_text(f"{num_left} matching run").first.wait_for(timeout=_PATIENCE_MS)

    def open_parent(self, page: Page, *, tab: str = "") -> None:
        """Open the study's own run, at a tab of its page."""
        page.goto(f"{self._experiment}/runs/{self._runs['parent']}{tab}?{TRAINING_PAGES}")
        page.get_by_role("tab", name="Overview").or_(page.get_by_text("Overview")).first.wait_for(
            timeout=_PATIENCE_MS
        )

    def open_series(self, page: Page) -> None:
        """Open the metrics of the study's run, and wait until one is drawn."""
        self.open_parent(page, tab="/model-metrics")
        page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for(
            state="attached", timeout=_PATIENCE_MS
        )

    def open_parent_report(self, page: Page) -> Frame:
        """Open the report among the artifacts of the study's run, and return its frame."""
        self.open_parent(page, tab="/artifacts/report/report.html")
        page.locator("iframe.mlflow-html-iframe").wait_for(timeout=_PATIENCE_MS)
        handle = page.locator("iframe.mlflow-html-iframe").element_handle()
        frame = handle.content_frame()
        assert frame is not None
        frame.locator("h1").wait_for(timeout=_PATIENCE_MS)
        return frame

    def open_trial(self, page: Page, number: int) -> None:
        """Open the run of a trial."""
        page.goto(f"{self._experiment}/runs/{self._runs['runs'][str(number)]}?{TRAINING_PAGES}")
        page.get_by_text("accuracy_after_removal", exact=True).first.wait_for(timeout=_PATIENCE_MS)

    def open_compare(self, page: Page) -> None:
        """Compare all trials."""
        runs, experiments = list(self._runs["runs"].values()), [self._runs["experiment"]]
        page.goto(
            f"{self._address}/#/compare-runs?runs={quote(json.dumps(runs))}"
            f"&experiments={quote(json.dumps(experiments))}&{TRAINING_PAGES}"
        )
        page.locator(".parcoords").first.wait_for(timeout=_PATIENCE_MS)

    def open_model(self, page: Page, name: str) -> None:
        """Open a registered model."""
        page.goto(f"{self._address}/#/models/{name}")
        page.get_by_text("Version 1", exact=True).first.wait_for(timeout=_PATIENCE_MS)


def close_assistant(context: BrowserContext) -> None:
    """Keep MLflow's assistant, which opens itself on the first visit, out of the picture."""
    context.add_init_script(_CLOSE_ASSISTANT)


def wait_until_ready(address: str, patience_s: float = 180) -> None:
    """Wait until a server answers.

    Raises:
        TimeoutError: It has not in that time.
    """
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise TimeoutError(f"{address} must answer within {patience_s:g} s, but does not; look at its log")
