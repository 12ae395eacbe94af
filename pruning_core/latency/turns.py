"""Measure whole networks end to end, in turns, so that whatever slows the machine for a while slows all of them alike.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.export import OnnxNetwork
from pruning_core.export.onnx_file import ONNX_FILE, export_onnx
from pruning_core.latency.cpu_threads import threads

ForwardPass = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)

_PASSES_PER_TURN = 5
_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnSettings:
    """``warm_up``: passes of each network before the first turn; ``passes``: those that count, of each network.

    The first pass of every turn, by which its weights come back into the caches, is not counted either.
    """

    num_threads: int = 1
    batch_size: int = 1
    warm_up: int = 10
    passes: int = 100


def torch_pass(network: nn.Module, images_NCHW: Tensor, num_threads: int) -> ForwardPass:  # noqa: ARG001 # set for all
    """Return a forward pass in torch; the number of threads is the process's own."""
    eager = network.eval()

    def run() -> object:
        with torch.inference_mode():
            return eager(images_NCHW)

    return run


def onnxruntime_pass(network: nn.Module, images_NCHW: Tensor, num_threads: int) -> ForwardPass:
    """Return a forward pass of the exported network in onnxruntime.

    Raises:
        UnsupportedNetworkError: The network cannot be exported.
    """
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(network.eval(), Path(folder), images_NCHW)
        exported = OnnxNetwork((Path(folder) / ONNX_FILE).read_bytes(), num_threads=num_threads)

    def run() -> object:
        return exported(images_NCHW)

    return run


RUNTIMES: dict[str, Callable[[nn.Module, Tensor, int], ForwardPass]] = {
    "onnxruntime": onnxruntime_pass,
    "torch": torch_pass,
}
"""What runs networks: each makes a forward pass of a network on its CPU, a batch of images and a number of threads."""


def noise_batch(input_shape: tuple[int, int, int], batch_size: int) -> Tensor:
    """Return a seeded batch of noise."""
    return torch.randn((batch_size, *input_shape), generator=torch.Generator().manual_seed(_SEED))


def measure_in_turns(
    passes: Mapping[Name, ForwardPass],
    settings: TurnSettings,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[Name, list[float]]:
    """Time forward passes; every second round goes through them backwards.

    Args:
        passes: What to time, by any name.
        settings: How often.
        report: Told how many of all rounds are done.

    Returns:
        Milliseconds of each counted pass, in the order in which they ran.
    """
    names = list(passes)
    times: dict[Name, list[float]] = {name: [] for name in names}
    num_rounds = -(-settings.passes // _PASSES_PER_TURN)
    with threads(settings.num_threads):
        for name in names:
            for _ in range(settings.warm_up):
                passes[name]()
        for done in range(num_rounds):
            for name in names if done % 2 == 0 else reversed(names):
                count = min(_PASSES_PER_TURN, settings.passes - len(times[name]))
                times[name] += _time_turn(passes[name], count)
            report(done + 1, num_rounds)
    return times


def quantiles_ms(times_ms: list[float]) -> tuple[float, float]:
    """Return the median and the 90th percentile."""
    median_ms, p90_ms = np.quantile(times_ms, [0.5, 0.9])
    return float(median_ms), float(p90_ms)


def _time_turn(run: ForwardPass, count: int) -> list[float]:
    run()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return times
