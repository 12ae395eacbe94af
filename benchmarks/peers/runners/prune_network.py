"""One cell of `benchmarks.quality` by a peer's tool: ``python -m benchmarks.peers.runners.prune_network TOOL``.

Runs in the peer's environment. The tool chooses and removes channels through its own public interface; everything
around it is ours, and the same for all: data, dense network, statistics of batch normalisation, fine-tuning, counts.
Reads one task as JSON from standard input, and writes one line of figures to standard output.
"""

from __future__ import annotations

import copy
import importlib
import json
import resource
import sys
import time
from typing import Any, TypedDict

import torch

from benchmarks.peers.runners.assignment import Assignment, Pruner
from pruning_core.channels import count_cost
from pruning_core.config import load_config
from pruning_core.data import load_data
from pruning_core.latency.measuring import MeasuringSettings, measure_networks
from pruning_core.stages import ArtifactStore, load_dense_network
from pruning_core.training import Teacher, evaluate, reestimate_batch_norm, train_classifier

__all__ = ["Task", "main", "prune_and_tune"]

_TOOLS = ("torch_pruning", "fastnas")


class Task(TypedDict):
    """``config``: a run of ours, of which the channels are the tool's to choose. ``store``: has its dense network.

    ``options``: for the tool. ``training_epochs``: it may train for so long before it removes channels.
    """

    config: dict[str, Any]
    store: str
    options: dict[str, Any]
    training_epochs: int
    device: str
    threads: int


def prune_and_tune(task: Task, prune: Pruner) -> dict[str, Any]:
    """Prune and fine-tune, and return the figures of the network."""
    torch.set_num_threads(task["threads"])
    torch.manual_seed(task["config"]["seed"])
    config, device = load_config(task["config"]), task["device"]
    data = load_data(config.dataset)
    dense = load_dense_network(config, data=data, store=ArtifactStore(task["store"]), device=device)
    full = count_cost(dense, data.input_shape)
    begun_at = time.perf_counter()
    assignment = Assignment(
        network=copy.deepcopy(dense),
        data=data,
        max_macs=int(full.macs * float(task["config"]["budgets"]["macs"])),
        training_epochs=task["training_epochs"],
        seed=config.seed,
        device=device,
        options=task["options"],
    )
    slim = prune(assignment).to(device)
    pruning_seconds = time.perf_counter() - begun_at
    reestimate_batch_norm(slim, data, device=device, seed=config.seed)
    after_removal = evaluate(slim, data.validation, data.normalisation, device=device)
    begun_at = time.perf_counter()
    train_classifier(
        slim,
        data,
        config.fine_tuning,
        seed=config.seed,
        device=device,
        precision=config.precision,
        teacher=Teacher(network=dense),
    )
    fine_tuning_seconds = time.perf_counter() - begun_at
    cost = count_cost(slim, data.input_shape)
    timing = MeasuringSettings(device=device, num_threads=task["threads"])
    latency_ms, dense_latency_ms = measure_networks([slim.eval(), dense], data.input_shape, timing)
    return {
        "num_validation": after_removal.num_images,
        "num_correct_after_removal": after_removal.num_correct,
        "num_correct_validation": evaluate(
            slim, data.validation, data.normalisation, device=device
        ).num_correct,
        "num_images": len(data.test),
        "num_correct": evaluate(slim, data.test, data.normalisation, device=device).num_correct,
        "num_correct_dense": evaluate(dense, data.test, data.normalisation, device=device).num_correct,
        "macs_share": cost.macs / full.macs,
        "params_share": cost.params / full.params,
        "dense_macs": full.macs,
        "dense_params": full.params,
        "latency_ms": latency_ms,
        "dense_latency_ms": dense_latency_ms,
        "seconds": {"pruning": pruning_seconds, "fine_tuning": fine_tuning_seconds},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main(argv: list[str] | None = None) -> None:
    """Do one task."""
    (tool,) = sys.argv[1:] if argv is None else argv
    if tool not in _TOOLS:
        raise SystemExit(f"the tool must be one of {', '.join(_TOOLS)}, but got {tool!r}")
    task: Task = json.loads(sys.stdin.readline())
    out, sys.stdout = sys.stdout, sys.stderr  # what the tool prints is no answer
    prune: Pruner = importlib.import_module(f"benchmarks.peers.runners.{tool}").prune
    out.write(json.dumps(prune_and_tune(task, prune)) + "\n")


if __name__ == "__main__":
    main()
