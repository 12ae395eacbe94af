"""The page of ``benchmarks.models``: one table per scope, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.formats import amount, percent

_INTRODUCTION = """# Every convolutional classifier

    python -m benchmarks.models

Each network is built untrained, with random scales, shifts and statistics, and pruned three times per scope: one
channel left in each group, a random number in each, all. Each time the physically smaller network must compute what
the gated dense one computes, and its counted MACs and parameters must equal those of the cost formula exactly. Then
half of the channels of every group go and the slim network is exported (ONNX, run by onnxruntime; safetensors, built
again from the dense architecture).
"""
_LEGEND = """
`groups`, `channels`: what may go. `least MACs`, `least params`: share of the dense cost that is left with one channel
per group. `slim - gated`: largest max|difference| / max|logit| (limit 1e-5 in single precision, else 1e-10 in double).
`ONNX`: max|onnxruntime - torch| / max|logit|. `rebuilt`: max|difference| of the network built again from its files.
Seconds are CPU time of everything in the row.
"""
_HEADER = (
    "network", "pixels", "FLOPs (MACs)", "params", "inner: groups", "channels", "least MACs", "least params",
    "all: groups", "channels", "least MACs", "least params", "slim - gated", "ONNX", "rebuilt", "s", "MB",
)  # fmt: skip


def render(facts: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Write the page as Markdown; networks of ``names`` that have no row are listed as not run."""
    done = [name for name in rows if "failed" not in rows[name]]
    failed = [name for name in rows if "failed" in rows[name]]
    missing = [name for name in names if name not in rows]
    whole = [name for name in done if not rows[name]["scopes"]["all"]["groups"]]
    lines = [
        _INTRODUCTION,
        f"{len(done) - len(whole)} networks hold, of {len(whole)} nothing can go, {len(failed)} fail, "
        f"{len(missing)} were not run. torch {facts['torch']}, "
        f"{facts['machine']}, one thread, at most {facts['memory_gb']:g} GB per network.",
        _LEGEND,
        _line(_HEADER),
        _line(["---"] * len(_HEADER)),
        *(_line(_cells(name, rows[name])) for name in done),
        "",
    ]
    if whole:
        lines += [
            "## Nothing can go",
            "",
            f"{', '.join(whole)}: why is below, under the layers left alone.",
            "",
        ]
    if failed:
        lines += ["## Fails", "", "| network | reason |", "|---|---|"]
        lines += [f"| {name} | {rows[name]['failed']} |" for name in failed] + [""]
    if missing:
        lines += ["## Not run", "", ", ".join(missing) + ".", ""]
    lines += ["## Layers left alone", "", "Under `scope: all`, number of layers by reason.", ""]
    lines += ["| network | layers | because |", "|---|---|---|"]
    for name in done:
        lines += [
            f"| {name} | {count} | {reason} |"
            for reason, count in rows[name]["scopes"]["all"]["left_alone"].items()
        ]
    return "\n".join([*lines, ""])


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    scopes = [row["scopes"][scope] for scope in ("inner", "all")]
    cells = [name, f"{row['side']}", amount(row["macs"]), amount(row["params"])]
    for scope in scopes:
        cells += [f"{scope['groups']}", f"{scope['channels']}"]
        cells += [percent(scope["least_macs"]), percent(scope["least_params"])]
    return [
        *cells,
        f"{max(scope['difference'] for scope in scopes):.0e}",
        f"{row['export']['onnx']:.0e}",
        f"{row['rebuild']:.0e}",
        f"{row['seconds']:.0f}",
        f"{row['peak_memory_mb']}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
