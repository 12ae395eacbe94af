"""The page of ``benchmarks.speed``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TARGETS: dict[str, float] = {"steering": 1.3, "selector": 2.0}
"""Most that a step may take, in plain forward and backward passes."""

MEMORY_TARGET_MB = 8000.0

_MEANINGS = {
    "plain": "forward and backward to all weights, training mode, batch ready",
    "training": "a step of dense training or fine-tuning",
    "steering": "gates on frozen weights, stored targets",
    "joint": "gates and weights, the dense network asked in every step",
    "predictor": "the dense network asked, the predictor updated",
    "selector": "dense network, decoder, predictor and back to the decoder",
}


def render(results: Mapping[str, Any]) -> str:
    """Write the results as Markdown, ratios against targets."""
    facts = results["facts"]
    lines = [
        "# How long a step takes",
        "",
        f"    {results['command']}",
        "",
        "Every row but the first is a whole step as its stage runs it: reading and augmenting the batch, passes,",
        "losses, update. The ratio is to the plain pass on a batch of the same size, medians over rounds in which all",
        "kinds took turns in one process. Networks are untrained, images are noise.",
        "",
        f"{facts['device']}, {results['precision']}, CPU threads: {facts['threads']}, torch {facts['torch']}; times "
        f"are {facts['clock']}. A large copy moves {facts['copy_gb_per_s']:.0f} GB/s (read and written).",
        "",
    ]
    for network in results["networks"]:
        lines += _network(network)
    if results["memory"]:
        lines += _memory(results["memory"])
    return "\n".join(lines)


def _network(network: Mapping[str, Any]) -> list[str]:
    lines = [
        f"## {network['architecture']}, {network['side']} x {network['side']} pixels, batch {network['batch']}",
        "",
        f"Rounds: {network['rounds']}; steps of each kind in a round: {network['repeats']}.",
        "",
        "| step | what it does | ms | quartiles | images/s | times plain | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in network["steps"].items():
        low, median, high = row["ms"]
        lines.append(
            f"| {name} | {_MEANINGS[name]} | {median:.4g} | {low:.4g} - {high:.4g} | {row['images_per_s']:.4g} | "
            f"**{row['ratio']:.2f}** | {_verdict(row['ratio'], TARGETS.get(name))} |"
        )
    return [*lines, ""]


def _memory(row: Mapping[str, Any]) -> list[str]:
    return [
        "## Memory of steering on the CPU",
        "",
        f"{row['architecture']} at {row['side']} x {row['side']} pixels, batch {row['batch']}, {row['steps']} steps, "
        "in a process of its own; largest resident size in 10^6 bytes.",
        "",
        "| while | MB | target |",
        "|---|---|---|",
        f"| libraries were loaded | {row['imports_mb']:.0f} | |",
        f"| groups, cost, selector and explanations were made | {row['building_mb']:.0f} | |",
        f"| gates were learned | **{row['steering_mb']:.0f}** | "
        f"{_verdict(row['steering_mb'], MEMORY_TARGET_MB)} |",
        "",
    ]


def _verdict(value: float, target: float | None) -> str:
    if target is None:
        return ""
    return f"at most {target:g}: {'met' if value <= target else 'missed'}"
