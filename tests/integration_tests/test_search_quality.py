"""Search against search with a whole search of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.search_quality_rows import REFERENCE
from tests.benchmarks_tests.tiny_searches import fill_tiny, write_tiny_data

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]


def test_a_search_of_ours_spends_its_epochs_and_is_found_again(tmp_path: Path) -> None:
    (cell,) = fill_tiny(write_tiny_data(tmp_path), REFERENCE)
    assert [one["epochs"] for one in cell["networks"]] == [2, 4]
    assert all(0 < one["macs_share"] < 1 for one in cell["networks"])
    assert cell["seconds"] > 0
    assert f"| {REFERENCE} | 1 | 2 | 2 |" in (tmp_path / "out/search-quality-tiny.md").read_text()
    assert fill_tiny(tmp_path, REFERENCE) == [cell]
