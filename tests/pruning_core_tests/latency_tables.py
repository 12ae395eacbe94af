"""Tables of made-up latencies, quick to make and the same everywhere."""

from __future__ import annotations

import hashlib

from torch import nn

from pruning_core.channels.layer_trace import evaluation_copy, example_images
from pruning_core.latency.layer_work import trace_calls
from pruning_core.latency.table import LatencyGrid, LatencyTable
from tests.pruning_core_tests.channel_networks import IMAGE, network_named


def made_up_table(name: str) -> LatencyTable:
    """Return a table for one of the test networks, uneven as measured ones are: bumps, and another pace per key."""
    return table_for(network_named(name))


def table_for(network: nn.Module, input_shape: tuple[int, int, int] = IMAGE) -> LatencyTable:
    """Return a made-up table that covers a network."""
    widest: dict[str, tuple[int, int]] = {}
    duplicate = evaluation_copy(network)
    for call in trace_calls(duplicate, example_images(duplicate, input_shape, num_images=1)):
        inputs, outputs = widest.get(call.key, (1, 1))
        widest[call.key] = (max(inputs, call.inputs), max(outputs, call.outputs))
    return table_of({key: _grid(key, *ends) for key, ends in widest.items()})


def table_of(layers: dict[str, LatencyGrid]) -> LatencyTable:
    """Return a table of these layers."""
    return LatencyTable(
        device="made up",
        num_threads=1,
        batch_size=1,
        repeats=1,
        torch_version="0",
        network_ms=1.0,
        layers=layers,
    )


def _grid(key: str, inputs: int, outputs: int) -> LatencyGrid:
    pace = 1 + hashlib.sha256(key.encode()).digest()[0] / 256
    axes = [sorted({1, max(1, width // 3), max(1, 2 * width // 3), width}) for width in (inputs, outputs)]
    return LatencyGrid(
        inputs=tuple(axes[0]),
        outputs=tuple(axes[1]),
        ms=tuple(
            tuple(pace * (0.001 + 1e-5 * (seen * made) ** 0.8) * _bump(seen, made) for made in axes[1])
            for seen in axes[0]
        ),
    )


def _bump(inputs: int, outputs: int) -> float:
    return 1.3 if (inputs + outputs) % 8 else 1.0
