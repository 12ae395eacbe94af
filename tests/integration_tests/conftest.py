"""A real study and a browser, for the tests that look at what a search leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from search.studies.folder import StudyFolder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OTHERS_WARNINGS = (
    "ignore::DeprecationWarning",  # MLflow's own use of sqlalchemy and pydantic, torch.export's of torch
    "ignore::FutureWarning",
    "ignore::UserWarning",  # MLflow's of its own type hints
    "ignore::ResourceWarning",  # MLflow leaves connections to the collector
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one worker run all tests of the real study, which takes a while to make."""
    for item in items:
        if "real_study" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("real_study"))
            for warning in OTHERS_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def real_study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study of five trials, with its artifacts, its report and its runs in MLflow."""
    from tests.integration_tests.real_search import launch_real_study

    return launch_real_study(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; CI has it, elsewhere the test is skipped where there is none."""
    from benchmarks.chromium import find_chromium, open_chromium

    if find_chromium() is None and not os.environ.get("CI"):
        pytest.skip("no Chromium is installed: `apt-get install chromium` brings one")
    with open_chromium() as opened:
        yield opened
