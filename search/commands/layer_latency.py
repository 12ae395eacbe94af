"""``prunefront latency SPEC``: measure the table that budgets on latency look up, and say how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.progress import Progress
from torch import nn

from pruning_core.architectures import build_network, check_supported
from pruning_core.budgets import NANOSECONDS_PER_MS
from pruning_core.channels import ChannelSelection, find_channel_groups, latency_by_table, remove_channels
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits, load_data
from pruning_core.latency.measuring import MeasuringSettings, measure_network, measure_table
from pruning_core.latency.table import LatencyTable, write_latency_table
from reports.formats import amount_of, counted, percent
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.text_tables import table_lines

__all__ = ["TableError", "latency_lines", "measure_latency", "compare_with_networks"]

TABLE_FILE = "latency.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableError:
    """One network by the table (the sum over its layers) and measured end to end, in milliseconds."""

    name: str
    table_ms: float
    network_ms: float


def measure_latency(path: Path, overrides: Sequence[str], settings: MeasuringSettings) -> None:
    """Measure the layers of a spec's network, write the table, and print how it compares with whole networks.

    Raises:
        PrunefrontError: The spec, the data or the network cannot be used, or the table cannot be written.
    """
    spec = load_spec(path, overrides)
    add_plug_in_path(spec.plug_ins)
    data = load_data(spec.run.dataset)
    network = _build(spec.run, data)
    with Progress(transient=True) as progress:
        task = progress.add_task("layers", total=None)
        table = measure_table(
            network,
            data.input_shape,
            settings,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    written = spec.run.latency_table
    target = path.parent / TABLE_FILE if written is None else Path(written)
    write_latency_table(table, target)
    lines = latency_lines(table, compare_with_networks(table, network, spec.run, data, settings), target)
    if written is None:
        lines.append(
            f"Next: set run.latency_table to {TABLE_FILE} and budgets.latency_ms to a share or a time."
        )
    typer.echo("\n".join(lines))


def compare_with_networks(
    table: LatencyTable,
    network: nn.Module,
    config: PruningConfig,
    data: DataSplits,
    settings: MeasuringSettings,
) -> list[TableError]:
    """Compare the table with the dense network, and with one that keeps half of each group's channels."""
    graph = find_channel_groups(network, data.input_shape, scope=config.channels.scope)
    half = ChannelSelection(
        kept={group.name: tuple(range((group.num_channels + 1) // 2)) for group in graph.groups}
    )
    return [
        TableError(
            name=name,
            table_ms=latency_by_table(tested, data.input_shape, table, network) / NANOSECONDS_PER_MS,
            network_ms=measure_network(tested, data.input_shape, settings),
        )
        for name, tested in (
            ("all channels", network),
            ("half of each group", remove_channels(network, graph, half)),
        )
    ]


def latency_lines(table: LatencyTable, found: Sequence[TableError], path: Path) -> list[str]:
    """Write what was measured as lines; the share of the dense network is what a budget of that form limits."""
    first = found[0]
    rows = [
        (
            one.name,
            amount_of("latency_ms", one.table_ms),
            amount_of("latency_ms", one.network_ms),
            percent(one.table_ms / one.network_ms - 1),
            percent(one.table_ms / first.table_ms),
            percent(one.network_ms / first.network_ms),
        )
        for one in found
    ]
    header = ("network", "sum of layers", "end to end", "table error", "share by table", "share end to end")
    return [
        f"{path}: {counted(len(table.layers), 'layer shape')} on {table.device}, batches of {table.batch_size}, "
        f"{counted(table.num_threads, 'thread')}, median of {table.repeats}",
        "",
        *table_lines(header, rows),
        "",
        "The sum counts convolutions, linear layers, batch normalisations and PReLUs; activations, additions",
        "and pooling are in the end-to-end time alone.",
    ]


def _build(config: PruningConfig, data: DataSplits) -> nn.Module:
    check_supported(config.architecture)
    network: nn.Module = build_network(
        config.architecture, num_classes=data.num_classes, in_channels=data.in_channels, load_weights=False
    )
    return network.eval()
