"""MLflow's pages of a real study in headless Chromium, over the server that ``prunefront ui`` starts."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.chromium import CHARTS, draw_all_charts
from benchmarks.mlflow_pages import MlflowPages, close_assistant, wait_until_ready
from reports.fronts import find_front
from reports.records import StudyRecords
from search.commands.ui import HOST
from search.studies.folder import StudyFolder
from search.studies.records import read_mlflow_runs, read_study

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address(real_study: StudyFolder) -> Iterator[str]:
    """Where ``prunefront ui`` serves the study's store."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    code = "from search.cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", code, "ui", "--storage", str(real_study.root), "--port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(f"http://{HOST}:{port}")
        yield f"http://{HOST}:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="module")
def study(real_study: StudyFolder) -> StudyRecords:
    return read_study(real_study)


@pytest.fixture(scope="module")
def pages(address: str, real_study: StudyFolder) -> MlflowPages:
    return MlflowPages(address, read_mlflow_runs(real_study))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(60_000)
    close_assistant(context)
    yield context.new_page()
    context.close()


def test_the_table_lists_every_trial_and_its_filter_leaves_the_front(
    page: Page, pages: MlflowPages, study: StudyRecords
) -> None:
    pages.open_runs(page)
    for record in study.records:
        assert page.get_by_text(f"trial-{record.number:04d}", exact=True).count()
    for column in ("accuracy", "macs_share", "params_share", "pareto.front"):
        assert page.get_by_role("columnheader", name=column).count(), column
    front = {record.number for record in find_front(study).members}
    pages.filter_runs(page, "tags.`pareto.front` = 'true'", num_left=len(front))
    for record in study.records:
        shown = page.get_by_text(f"trial-{record.number:04d}", exact=True).count() > 0
        assert shown == (record.number in front)


def test_the_study_s_run_shows_its_inputs_and_its_series(page: Page, pages: MlflowPages) -> None:
    pages.open_parent(page)
    page.get_by_text("digits (").first.wait_for()
    page.get_by_text("dense", exact=True).first.wait_for()
    assert "Model training" in page.locator("body").inner_text()
    pages.open_series(page)
    page.get_by_text("best_accuracy_within").first.wait_for()


def test_a_trial_s_run_shows_its_values(page: Page, pages: MlflowPages, study: StudyRecords) -> None:
    record = study.records[0]
    assert record.scores is not None
    pages.open_trial(page, record.number)
    text = page.locator("body").inner_text()
    for value in (record.scores.accuracy, record.scores.macs, record.scores.params):
        assert str(value) in text
    for name, chosen in record.varied.items():
        assert name in text
        assert str(chosen) in text


def test_trials_can_be_compared_along_what_varied(page: Page, pages: MlflowPages) -> None:
    pages.open_compare(page)
    axes = page.locator(".parcoords .axis-title").all_text_contents()
    assert {"budgets.macs", "accuracy"} <= set(axes)


def test_the_report_is_whole_inside_the_artifact_view(page: Page, pages: MlflowPages) -> None:
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    frame = pages.open_parent_report(page)
    assert "accuracy_macs" in draw_all_charts(frame)
    for chart in frame.locator(CHARTS).all():
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 100
    assert complaints == []


def test_optuna_dashboard_draws_the_front_of_the_same_study(page: Page, address: str) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs the extra prunefront[dashboard]")
    host, port = address.rsplit(":", 1)
    dashboard = f"{host}:{int(port) + 1}"
    urllib.request.urlopen(f"{dashboard}/api/studies", timeout=120).close()
    page.goto(f"{dashboard}/dashboard/studies/0")
    page.get_by_text("Pareto Front").first.wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for(state="attached")
