"""The table of deployed networks."""

from __future__ import annotations

from typing import Any

from benchmarks.deployment import _without_places
from benchmarks.deployment_page import render


def row(name: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "name": name,
        "num_bytes": 1_000_000,
        "macs": 40_000_000,
        "params": 270_000,
        "num_images": 1000,
        "num_correct": 900,
        "num_same": 1000,
        "median_ms": 2.0,
        "p90_ms": 3.0,
        "round_trip": {"onnx": 1000, "pt2": 999, "safetensors": 998},
    }
    return {**plain, **changes}


def test_each_network_stands_beside_the_dense_one() -> None:
    page = render(
        {
            "command": "python -m benchmarks.deployment --macs 0.5",
            "machine": "a machine",
            "architecture": "cifar_resnet20",
            "images": {"train": 3000, "validation": 1000, "test": 1000},
            "epochs": {"dense": 5, "fine_tuning": 2},
            "macs": 0.5,
            "passes": 200,
            "round_trip_images": 1000,
            "rows": [
                row("dense"),
                row("dense, int8", num_bytes=300_000, num_same=990, median_ms=1.0, round_trip={"int8": 985}),
            ],
        }
    )
    assert "    python -m benchmarks.deployment --macs 0.5 --root DIR\n" in page
    assert (
        "| dense, int8 | 300 KB | 40.00M | 270K | 90.00% (88.0% - 91.7%) | 99.00% | 1 ms | 3 ms | 50% |"
        in page
    )
    assert "| dense | 1000 | 999 | 998 | 985 |" in page


def test_the_command_is_told_without_where_files_lie() -> None:
    assert _without_places(["--root", "/somewhere", "--macs", "0.4", "--out", "x", "--images", "9"]) == [
        "--macs", "0.4", "--images", "9",
    ]  # fmt: skip
