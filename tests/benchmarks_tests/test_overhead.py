from __future__ import annotations

from benchmarks.overhead import render


def test_the_page_has_the_live_view_where_it_was_measured() -> None:
    row = {"sampler": "random", "trials": 1000, "sampler_ms": 2.7, "storage_ms": 4.5, "own_ms": 4.1}
    figures = {
        "trials": 300,
        "slots": 2,
        "trials_per_second": {"prunefront": [25.0, 26.0, 24.0], "ray": [30.0, 31.0, 29.0]},
        "machine": "x86_64, 2 cores",
        "driver": [row, {**row, "trials": 10_000, "live_ms": 8.25}],
    }
    lines = render(figures, "python -m benchmarks.overhead").splitlines()
    assert "| random | 1,000 | 2.7 | 4.5 | 4.1 | - |" in lines
    assert "| random | 10,000 | 2.7 | 4.5 | 4.1 | 8.2 |" in lines
    (header,) = (line for line in lines if line.startswith("| sampler"))
    assert header.endswith("| live view |")
    assert "**1.20**" in next(line for line in lines if line.startswith("Time per trial"))
