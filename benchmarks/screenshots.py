"""Take the pictures of the README: the report of a study and its pages in MLflow, in headless Chromium.

    python -m benchmarks.screenshots STUDY [--storage results] [--out docs/images]

Starts `prunefront ui` for the time it takes. Needs Debian's `chromium`, or another that `benchmarks.chromium` finds.
"""

from __future__ import annotations

import argparse
import io
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.chromium import draw_all_charts, open_chromium
from benchmarks.mlflow_pages import MlflowPages, close_assistant, wait_until_ready
from search.commands.ui import HOST
from search.studies.folder import StudyFolder
from search.studies.records import read_mlflow_runs

TALL, WIDE, PHONE = (1100, 1500), (1280, 900), (390, 844)
_MOST_COLOURS = 256


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("--storage", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    folder = StudyFolder(arguments.storage, arguments.study)
    folder.check_existing()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with _serving(folder.root) as address, open_chromium() as browser:
        _shoot_report(browser, folder, arguments.out)
        wait_until_ready(address)
        _shoot_mlflow(browser, MlflowPages(address, read_mlflow_runs(folder)), arguments.out)


def _shoot_report(browser: Browser, folder: StudyFolder, out: Path) -> None:
    address = (folder.report_path / "report.html").as_uri()
    for name, size, scheme in (("report", TALL, "light"), ("report-phone", PHONE, "dark")):
        page = _open(browser, size, scheme)
        page.goto(address)
        draw_all_charts(page)
        page.evaluate("window.scrollTo(0, 0)")
        page.mouse.move(0, 0)
        _save(page, out / f"{name}.png")


def _shoot_mlflow(browser: Browser, pages: MlflowPages, out: Path) -> None:
    page = _open(browser, WIDE, "light")
    pages.open_runs(page)
    _save(page, out / "mlflow-runs.png")
    pages.open_compare(page)
    _save(page, out / "mlflow-compare.png")
    pages.open_series(page)
    _save(page, out / "mlflow-series.png")


def _open(browser: Browser, size: tuple[int, int], scheme: str) -> Page:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    close_assistant(context)
    return context.new_page()


def _save(page: Page, path: Path) -> None:
    """Write a picture with few colours, which is a quarter of the size."""
    page.wait_for_timeout(1000)  # fonts and transitions
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(_MOST_COLOURS).save(path, optimize=True)
    print(f"{path}  {path.stat().st_size:,} bytes")


@contextmanager
def _serving(root: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    code = "from search.cli import main; main()"
    server = subprocess.Popen(  # noqa: S603 - no shell
        [sys.executable, "-c", code, "ui", "--storage", str(root), "--port", str(port)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


if __name__ == "__main__":
    main()
