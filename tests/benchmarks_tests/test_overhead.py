from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.overhead import render


def test_the_page_has_what_halving_takes_where_there_is_halving() -> None:
    row = {
        "sampler": "random",
        "rule": "none",
        "trials": 1000,
        "items": 1.0,
        "sampler_ms": 2.7,
        "storage_ms": 4.5,
        "own_ms": 4.1,
        "live_ms": 5.5,
        "halving_ms": 0.0,
    }
    figures = {
        "trials": 300,
        "slots": 2,
        "trials_per_second": {"prunefront": [25.0, 26.0, 24.0], "ray": [30.0, 31.0, 29.0]},
        "machine": "x86_64, 2 cores",
        "driver": [row, {**row, "rule": "promotion", "items": 1.48, "trials": 10_000, "halving_ms": 1.25}],
    }
    lines = render(figures, "python -m benchmarks.overhead").splitlines()
    assert "| random | 1,000 | 1.00 | 2.7 | 4.5 | 4.1 |  | 5.5 |" in lines
    assert "| random, promotion | 10,000 | 1.48 | 2.7 | 4.5 | 4.1 | 1.2 | 5.5 |" in lines
    assert "**1.20**" in next(line for line in lines if line.startswith("Time per trial"))


def test_a_driver_is_measured_at_each_length(tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "benchmarks.overhead_runs",
        str(tmp_path),
        "driver",
        "random",
        "promotion",
        "20",
        "130",
    ]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert [row["trials"] for row in rows] == [20, 130]
    for row in rows:
        assert row["rule"] == "promotion"
        assert 1 < row["items"] <= 4, "after 1, 3 and 9 of 10 epochs, and at the end"
        assert all(row[f"{part}_ms"] > 0 for part in ("sampler", "storage", "own", "live", "halving"))
