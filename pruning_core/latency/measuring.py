"""Measure latencies on this machine: one layer, a grid of widths, a whole network.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.latency.cpu_threads import threads
from pruning_core.latency.layer_work import LayerCall, trace_calls
from pruning_core.latency.table import LatencyGrid, LatencyTable

_WARM_UP = 5
_TURNS = 5
_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuringSettings:
    """``repeats``: forward passes whose median counts, after a warm-up. ``grid_points``: widths tried along inputs and
    along outputs, evenly from 1 to the widest; the dense widths are tried besides.
    """

    device: str = "cpu"
    num_threads: int = 1
    batch_size: int = 1
    repeats: int = 30
    grid_points: int = 5


def measure_table(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    settings: MeasuringSettings,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> LatencyTable:
    """Measure every distinct layer of a network over a grid of widths, and the network as a whole.

    Args:
        network: The dense network in evaluation mode on the CPU; it is copied to the device layer by layer.
        input_shape: (channels, height, width) of one image.
        settings: How to measure.
        report: Told how many of all layers are measured.
    """
    images_NCHW = _noise((1, *input_shape))
    by_key: dict[str, list[LayerCall]] = {}
    for call in trace_calls(network, images_NCHW):
        by_key.setdefault(call.key, []).append(call)
    layers = {}
    for done, (key, calls) in enumerate(by_key.items()):
        layers[key] = _measure_grid(calls, settings)
        report(done + 1, len(by_key))
    return LatencyTable(
        device=device_name(settings.device),
        num_threads=settings.num_threads,
        batch_size=settings.batch_size,
        repeats=settings.repeats,
        torch_version=torch.__version__,
        network_ms=measure_network(network, input_shape, settings),
        layers=layers,
    )


def measure_network(
    network: nn.Module, input_shape: tuple[int, int, int], settings: MeasuringSettings
) -> float:
    """Return the median milliseconds of one forward pass of a batch; the network is left where it was."""
    first = next(network.parameters(), torch.empty(0))
    home = first.device
    milliseconds = _measure(network, input_shape, settings)
    network.to(home)
    return milliseconds


def measure_networks(
    networks: Sequence[nn.Module], input_shape: tuple[int, int, int], settings: MeasuringSettings
) -> list[float]:
    """Return the median milliseconds of each network; they take turns, so that a slow while hits all of them."""
    rounds = [
        [measure_network(network, input_shape, settings) for network in networks] for _ in range(_TURNS)
    ]
    return [median(times) for times in zip(*rounds, strict=True)]


def device_name(device: str) -> str:
    """Return what the table calls a device: the accelerator's name, or the processor's kind."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device} {torch.backends.cpu.get_cpu_capability()}"


def _measure_grid(calls: Sequence[LayerCall], settings: MeasuringSettings) -> LatencyGrid:
    inputs = _axis([call.inputs for call in calls], settings.grid_points)
    outputs = _axis([call.outputs for call in calls], settings.grid_points)
    first = calls[0]
    return LatencyGrid(
        inputs=inputs,
        outputs=outputs,
        ms=tuple(
            tuple(
                _measure(first.build(seen, made), first.input_shape(seen, made), settings) for made in outputs
            )
            for seen in inputs
        ),
    )


def _axis(widths: Sequence[int], num_points: int) -> tuple[int, ...]:
    even = np.linspace(1, max(widths), num_points).round().astype(int).tolist()
    return tuple(sorted({*even, *widths}))


@torch.inference_mode()
def _measure(module: nn.Module, input_shape: tuple[int, ...], settings: MeasuringSettings) -> float:
    module = module.eval().to(settings.device)
    batch = _noise((settings.batch_size, *input_shape)).to(settings.device)
    wait = torch.cuda.synchronize if torch.device(settings.device).type == "cuda" else _no_wait
    seconds = []
    with threads(settings.num_threads):
        for _ in range(_WARM_UP + settings.repeats):
            wait()
            started = time.perf_counter()
            module(batch)
            wait()
            seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds[_WARM_UP:])


def _noise(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(_SEED))


def _no_wait() -> None: ...
