"""The page of ``benchmarks.deployment``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.confidence import wilson_interval


def render(results: Mapping[str, Any]) -> str:
    """Write the results as Markdown."""
    rows = {row["name"]: row for row in results["rows"]}
    dense, images, epochs = rows["dense"], results["images"], results["epochs"]
    lines = [
        "# Where networks are deployed",
        "",
        f"    {results['command']} --root DIR",
        "",
        f"`{results['architecture']}` on Fashion-MNIST ({images['train']:,} training images, {epochs['dense']} epochs, "
        f"the same dense network for all rows), pruned by L1 to {results['macs']:.0%} of its MACs and "
        f"fine-tuned for {epochs['fine_tuning']} epochs, with kept counts as they come (`round_to: 1`) or rounded "
        "(`auto`). Sizes and times are of the ONNX file. Accuracy on "
        f"{dense['num_images']:,} test images with 95 % intervals; *same* is the share of them on which the file "
        "answers as the network in single precision does.",
        "",
        "| network | size | MACs | params | accuracy | same | median | p90 | of dense |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(row, dense) for row in results["rows"]),
        "",
        f"Latency: one image, onnxruntime, one thread, {results['passes']} passes of each file in turns of five, so "
        "that what else ran on the machine hit all files alike. Compare within the table; a 90th percentile far "
        "above the median tells of other work.",
        "",
        "## Files alone",
        "",
        f"The first {results['round_trip_images']:,} test images, by the lines of the model card, in processes that "
        "can import onnxruntime and numpy but not torch (onnx, int8), torch and numpy but neither onnxruntime nor "
        "anything of prunefront (pt2), or prunefront's core (safetensors). On how many each answers as the network:",
        "",
        "| network | onnx | pt2 | safetensors | int8 |",
        "|---|---|---|---|---|",
        *(_round_trip_row(name, rows) for name in rows if not name.endswith("int8")),
        "",
        f"Machine: {results['machine']}.",
        "",
    ]
    return "\n".join(lines)


def _row(row: Mapping[str, Any], dense: Mapping[str, Any]) -> str:
    accuracy = row["num_correct"] / row["num_images"]
    interval = wilson_interval(row["num_correct"], row["num_images"])
    return (
        f"| {row['name']} | {row['num_bytes'] / 1000:.0f} KB | {row['macs'] / 1e6:.2f}M | "
        f"{row['params'] / 1000:.0f}K | "
        f"{accuracy:.2%} ({interval.low:.1%} - {interval.high:.1%}) | {row['num_same'] / row['num_images']:.2%} | "
        f"{row['median_ms']:.3g} ms | {row['p90_ms']:.3g} ms | {row['median_ms'] / dense['median_ms']:.0%} |"
    )


def _round_trip_row(name: str, rows: Mapping[str, Any]) -> str:
    found = {**rows[name]["round_trip"], **rows[f"{name}, int8"]["round_trip"]}
    return f"| {name} | {found['onnx']} | {found['pt2']} | {found['safetensors']} | {found['int8']} |"
