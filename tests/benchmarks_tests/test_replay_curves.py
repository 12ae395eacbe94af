"""Bands over seeds, and when one search reaches another's end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.replay_curves import NUM_TIMES, band_of_time, band_of_trials, time_until
from benchmarks.replay_page import best_peer, by_row, render, rung_table
from tests.search_tests.synthetic_recording import make_recording


def cell(row: str, seed: int, steps: list[tuple[int, float, float]], *, num: int = 10) -> dict[str, Any]:
    return {
        "row": row,
        "seed": seed,
        "macs": 1.0,
        "num_configurations": num,
        "num_complete": num,
        "seconds": 100.0,
        "steps": steps,
        "machine": "a machine",
    }


CELLS = [
    cell("random, none", 0, [(2, 10.0, 0.1), (5, 60.0, 0.3)]),
    cell("random, none", 1, [(1, 20.0, 0.2), (9, 80.0, 0.4)], num=12),
    cell("random, none", 2, []),
    cell("tpe, none", 0, [(3, 50.0, 0.25)]),
    cell("along_front, none", 0, [(1, 5.0, 0.1), (4, 40.0, 0.5)]),
    cell("random, stopping", 0, [(1, 1.0, 0.9)]),
]


def test_the_hypervolume_at_a_time_is_that_of_the_last_step_before_it() -> None:
    band = band_of_time(CELLS[:2])
    at = {share: int(np.searchsorted(band.at_G, share)) for share in (0.05, 0.1, 0.2, 0.6, 1.0)}
    assert [band.median_G[at[share]] for share in at] == pytest.approx([0, 0.05, 0.15, 0.25, 0.35])
    assert band.low_G[-1] == pytest.approx(0.325)
    assert band.high_G[-1] == pytest.approx(0.375)
    assert len(band.at_G) == NUM_TIMES


def test_a_search_without_a_network_has_no_hypervolume() -> None:
    assert band_of_time(CELLS[2:3]).median_G.max() == 0


def test_configurations_are_counted_as_far_as_all_seeds_go() -> None:
    band = band_of_trials(CELLS[:2])
    assert band.at_G.tolist() == list(range(1, 11))
    assert band.median_G.tolist() == pytest.approx(
        [0.1, 0.15, 0.15, 0.15, 0.25, 0.25, 0.25, 0.25, 0.35, 0.35]
    )


def test_the_time_until_a_hypervolume_is_where_the_median_reaches_it() -> None:
    band = band_of_time(CELLS[4:5])
    assert time_until(band, 0.5) == pytest.approx(0.4)
    assert time_until(band, 0.05) == pytest.approx(0.05)
    assert time_until(band, 0.51) is None


def test_peers_are_others_searches_and_not_our_rules() -> None:
    rows = by_row(CELLS)
    assert list(rows) == ["random, none", "tpe, none", "along_front, none", "random, stopping"]
    assert best_peer(rows) == "random, none"  # median 0.3; the one with our rule does not count
    assert best_peer({row: rows[row] for row in ("along_front, none",)}) is None


def test_the_page_says_whether_the_target_is_met_and_who_is_missing() -> None:
    page = render("Title", ["about"], CELLS, [], {"NePS PriMO": "no wheel"})
    assert "The best peer is random, none: median 0.3000" in page
    assert "- along_front, none: it is there after 40% of the time, so the target is met." in page
    assert "- NePS PriMO is not in the table: no wheel" in page
    late = [*CELLS[:4], cell("along_front, none", 0, [(4, 60.0, 0.5)])]
    assert "after 60% of the time, so the target is missed" in render("Title", [], late, [], {})
    never = [*CELLS[:4], cell("along_front, none", 0, [(4, 60.0, 0.2)])]
    assert "it never gets there, so the target is missed" in render("Title", [], never, [], {})


def test_the_page_says_how_late_rungs_come_and_how_well_they_tell_the_end() -> None:
    recording = make_recording(40)
    *rungs, end = rung_table(recording)[2:]
    assert [row.split(" | ")[0] for row in rungs] == [f"| {epochs}" for epochs in recording.epochs[:-1]]
    shares = [int(row.split(" | ")[1].rstrip("%")) for row in rungs]
    assert shares == sorted(shares)
    assert all(0 < share < 100 for share in shares)
    assert end == f"| {recording.epochs[-1]} | 100% | 1.00 |"
