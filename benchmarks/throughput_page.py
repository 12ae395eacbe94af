"""The page of ``benchmarks.throughput``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.memory_traffic import MOVES_OF_IMAGE, MOVES_OF_OUTPUT, MOVES_OF_WEIGHT

NEEDS_CUDA = "not run: needs CUDA"
Figure = Mapping[str, Any]
_NAMES = {
    "training": "forward and backward pass and update of all weights",
    "steering": "gates on frozen weights: pass of the gated network with its explanation, and back to the gates",
}


def render(results: Mapping[str, Any]) -> str:
    """Write the results as Markdown: images per second and the share of the bound."""
    facts = results["facts"]
    lines = [
        "# Throughput against memory bandwidth",
        "",
        f"    {results['command']}",
        "",
        f"{facts['device']}, CPU threads: {facts['threads']}, torch {facts['torch']}; times are {facts['clock']}.",
        f"A large copy moves **{facts['copy_gb_per_s']:.0f} GB/s** (read and written). Networks are untrained.",
        "",
        "Figures are images per second, medians over rounds, and the share that they are of the bound: the least bytes",
        "a step has to move, moved as fast as that copy. *Stage* is the whole step as its stage runs it (reading and",
        "augmenting the batch, losses, updates, budgets); *step* is the step alone on a batch that is ready.",
        "",
    ]
    for architecture in dict.fromkeys(cell["architecture"] for cell in results["cells"]):
        cells = [cell for cell in results["cells"] if cell["architecture"] == architecture]
        for step in dict.fromkeys(cell["step"] for cell in cells):
            lines += _section(architecture, step, [cell for cell in cells if cell["step"] == step])
    return "\n".join([*lines, *_model(results["numbers"])])


def _section(architecture: str, step: str, cells: Sequence[Figure]) -> list[str]:
    batches = sorted({cell["batch"] for cell in cells})
    lines = [
        f"## {step.capitalize()} of {architecture}",
        "",
        f"{_NAMES[step].capitalize()}.",
        "",
        f"| precision | way | {' | '.join(f'batch {batch}' for batch in batches)} | first round |",
        f"|---|---|{'---|' * (len(batches) + 1)}",
    ]
    for precision in dict.fromkeys(cell["precision"] for cell in cells):
        found = [cell for cell in cells if cell["precision"] == precision]
        bounds = {cell["batch"]: f"{cell['bound_images_per_s']:,.0f}" for cell in found}
        lines.append(_row(precision, "*bound*", [bounds.get(batch, "") for batch in batches], ""))
        for name in dict.fromkeys(_name(cell) for cell in found):
            of_way = {cell["batch"]: cell for cell in found if _name(cell) == name}
            shown = [_figure(of_way.get(batch)) for batch in batches]
            lines.append(_row(precision, name, shown, _first_rounds(list(of_way.values()))))
    return [*lines, ""]


def _name(cell: Figure) -> str:
    notes = [note for note in (cell["compiler"], "cuDNN tuned" if cell["is_tuned"] else None) if note]
    return f"{cell['way']} ({', '.join(notes)})" if notes else str(cell["way"])


def _row(*columns: str | Sequence[str]) -> str:
    flat = [part for column in columns for part in ([column] if isinstance(column, str) else column)]
    return f"| {' | '.join(flat)} |"


def _figure(cell: Figure | None) -> str:
    if cell is None:
        return "not run"
    if "problem" in cell:
        return str(cell["problem"]).replace("|", "/")
    return f"{cell['images_per_s']:,.0f} ({100 * cell['share_of_bound']:.1f} %)"


def _first_rounds(cells: Sequence[Figure]) -> str:
    seconds = [cell["prepared_s"] for cell in cells if "prepared_s" in cell]
    return f"{max(seconds):.1f} s" if seconds else ""


def _model(numbers: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = [
        "## The bound",
        "",
        "Counted are the outputs of convolutions and linear layers, the images and the weights; normalisation,",
        "activation functions, additions and losses are taken as done on the way, and the update of the gates as free.",
        "An output is written and read forward, read again backward, and its gradient written and read: "
        f"{MOVES_OF_OUTPUT} times its",
        "numbers, of 4 bytes, or of 2 in bfloat16. Weights, gradients and momenta have 4 bytes. Nothing is recomputed,",
        "and nothing is found in a cache; small batches may be, and then pass the bound. *First round*: the longest",
        "time until the first round was done, with building and compiling.",
        "",
        "| step | outputs of one image | moved | pixels of one image | moved | weights | moved |",
        "|---|---|---|---|---|---|---|",
    ]
    for step, found in numbers.items():
        lines.append(
            f"| {step} | {found['outputs']:,} | {MOVES_OF_OUTPUT} times | {found['pixels']:,} | "
            f"{MOVES_OF_IMAGE[step]} times | {found['weights']:,} | {MOVES_OF_WEIGHT[step]} times |"
        )
    return [*lines, ""]
