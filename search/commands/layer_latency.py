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
from pruning_core.channels import (
    ChannelGraph,
    ChannelSelection,
    find_channel_groups,
    latency_by_table,
    remove_channels,
)
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits, load_data
from pruning_core.latency.calibration import fit_calibration
from pruning_core.latency.measuring import MeasuringSettings, measure_networks, measure_table
from pruning_core.latency.table import LatencyTable, write_latency_table
from reports.formats import amount_of, counted, percent
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.text_tables import table_lines

__all__ = ["TableError", "calibrate_table", "latency_lines", "measure_latency"]

TABLE_FILE = "latency.json"
_CALIBRATED_ON = (1.0, 0.75, 0.5, 0.25)  # channels kept of every group
_COMPARED_ON = (1.0, 0.6, 0.35)


@dataclass(frozen=True, kw_only=True, slots=True)
class TableError:
    """One network by the table and measured end to end, in milliseconds."""

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
    table, errors = calibrate_table(table, network, spec.run, data.input_shape, settings)
    written = spec.run.latency_table
    target = path.parent / TABLE_FILE if written is None else Path(written)
    write_latency_table(table, target)
    lines = latency_lines(table, errors, target)
    if written is None:
        lines.append(
            f"Next: set run.latency_table to {TABLE_FILE} and budgets.latency_ms to a share or a time."
        )
    typer.echo("\n".join(lines))


def calibrate_table(
    table: LatencyTable,
    network: nn.Module,
    config: PruningConfig,
    input_shape: tuple[int, int, int],
    settings: MeasuringSettings,
) -> tuple[LatencyTable, list[TableError]]:
    """Calibrate a table on whole networks, and compare it with them; all but the dense one are others then.

    Args:
        table: Of the layers of the dense network.
        network: The dense network.
        config: Which of its groups are narrowed.
        input_shape: (channels, height, width) of one image.
        settings: As for the layers.
    """
    shares = sorted({*_CALIBRATED_ON, *_COMPARED_ON}, reverse=True)
    graph = find_channel_groups(network, input_shape, scope=config.channels.scope)
    networks = [
        remove_channels(network, graph, _evenly(graph, share)) if share < 1 else network for share in shares
    ]
    measured_ms = dict(zip(shares, measure_networks(networks, input_shape, settings), strict=True))

    def by_table(table: LatencyTable, share: float) -> float:
        slim = networks[shares.index(share)]
        return latency_by_table(slim, input_shape, table, network) / NANOSECONDS_PER_MS

    calibration = fit_calibration(
        [by_table(table, share) for share in _CALIBRATED_ON], [measured_ms[share] for share in _CALIBRATED_ON]
    )
    calibrated = table.with_calibration(calibration)
    return calibrated, [
        TableError(
            name="all channels" if share == 1 else f"{share:.0%} of each group",
            table_ms=by_table(calibrated, share),
            network_ms=measured_ms[share],
        )
        for share in _COMPARED_ON
    ]


def _evenly(graph: ChannelGraph, share: float) -> ChannelSelection:
    return ChannelSelection(
        kept={group.name: tuple(range(max(1, round(share * group.num_channels)))) for group in graph.groups}
    )


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
    header = ("network", "by table", "end to end", "table error", "share by table", "share end to end")
    return [
        f"{path}: {counted(len(table.layers), 'layer shape')} on {table.device}, batches of {table.batch_size}, "
        f"{counted(table.num_threads, 'thread')}, median of {table.repeats}",
        "",
        *table_lines(header, rows),
        "",
        "The table adds up convolutions, linear layers, batch normalisations and PReLUs, each measured alone; that",
        f"sum times {table.calibration.scale:.3g} plus {amount_of('latency_ms', table.calibration.rest_ms)} fits whole "
        "networks best, and is what a budget limits.",
    ]


def _build(config: PruningConfig, data: DataSplits) -> nn.Module:
    check_supported(config.architecture)
    network: nn.Module = build_network(
        config.architecture, num_classes=data.num_classes, in_channels=data.in_channels, load_weights=False
    )
    return network.eval()
