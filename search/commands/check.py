"""``prunefront check``: does the spec's network prune safely?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from pruning_core.data import load_data
from reports.formats import amount, percent
from search.network_check import NetworkCheck, check_network
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.text_tables import table_lines

__all__ = ["check_lines", "check_spec"]


def check_spec(path: Path, overrides: Sequence[str]) -> None:
    """Remove channels of the spec's network for real and print what was proved.

    Raises:
        PrunefrontError: The spec, the data or the network cannot be used; names the layer.
    """
    spec = load_spec(path, overrides)
    add_plug_in_path(spec.plug_ins)
    found = check_network(spec.run, load_data(spec.run.dataset))
    typer.echo("\n".join([f"{spec.run.architecture.name} prunes safely", *check_lines(found)]))


def check_lines(found: NetworkCheck) -> list[str]:
    """Write a check as lines: what was removed and compared, and the layers left alone."""
    rows = [
        (
            removal.name,
            f"{removal.num_kept} of {found.num_channels}",
            f"{removal.difference:.1e}",
            f"{amount(removal.cost.macs)} ({percent(removal.cost.macs / found.dense.macs)})",
            f"{amount(removal.cost.params)} ({percent(removal.cost.params / found.dense.params)})",
        )
        for removal in found.removals
    ]
    header = ("removed", "channels kept", "slim against gated", "FLOPs (MACs)", "params")
    lines = [
        f"{found.num_groups} groups of channels, {found.num_channels} channels that may go",
        "",
        *table_lines(header, rows),
        "",
        "Cost by formula equals cost by counting in each case.",
    ]
    if found.untouched:
        alone = table_lines(("left alone", "because"), [(one.layer, one.reason) for one in found.untouched])
        lines += ["", *alone]
    return lines
