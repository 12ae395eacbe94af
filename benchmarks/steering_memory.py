"""How much memory gate steering takes, in a process of its own."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.speed_steps import Workload, build_untrained, steering_parts, synthetic_data
from pruning_core.config import GatesConfig, LossWeightsConfig
from pruning_core.gating.steering import steer_gates
from pruning_core.stages.peak_memory import measure_peak_memory, process_peak_mb


def measure_steering_memory(workload: Workload, *, steps: int) -> dict[str, Any]:
    """Steer an untrained network on the CPU in a new process and return its resident peaks, in 10**6 bytes.

    ``imports_mb``: before anything was built. ``building_mb``: while groups, cost, selector and the dense network's
    explanations were made. ``steering_mb``: while gates were learned, with all that in memory.

    Raises:
        RuntimeError: The process died, of too little memory for instance.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(workload, steps, sender))
    process.start()
    sender.close()
    try:
        row: dict[str, Any] = receiver.recv()
    except EOFError:
        raise RuntimeError(f"steering {workload.architecture} must finish, but its process died") from None
    finally:
        process.join()
    return row


def _measure(workload: Workload, steps: int, sender: Connection) -> None:
    torch.set_num_threads(1)
    imports_mb = process_peak_mb()
    data = synthetic_data(workload)
    with measure_peak_memory("cpu") as building:
        problem, steering_set = steering_parts(workload, data, build_untrained(workload))
    with measure_peak_memory("cpu") as steering:
        gates = GatesConfig(steps=steps, batch_size=workload.batch)
        steer_gates(problem, steering_set, gates, LossWeightsConfig(), seed=0)
    sender.send(
        {
            "architecture": workload.architecture,
            "side": workload.side,
            "batch": workload.batch,
            "steps": steps,
            "imports_mb": imports_mb,
            "building_mb": building.resident_mb,
            "steering_mb": steering.resident_mb,
        }
    )
