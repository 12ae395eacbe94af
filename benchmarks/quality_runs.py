"""One cell of `benchmarks.quality`: a run of ours, or a peer's tool around the same dense network and fine-tuning."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import PeerError, make_environment
from benchmarks.peers.pruners import PRUNERS
from benchmarks.quality_rows import Row
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.latency.measuring import MeasuringSettings, measure_networks
from pruning_core.stages import (
    ArtifactStore,
    evaluate_on_test,
    load_dense_network,
    load_slim_network,
    run_stage,
    run_trial,
)

__all__ = ["measure_ours", "measure_peer"]

_ROOT = Path(__file__).parents[1]
_LAST_LINES = 3


def measure_ours(
    config: PruningConfig, data: DataSplits, store: ArtifactStore, *, device: str, threads: int
) -> dict[str, Any]:
    """Run what is missing of a run of ours, and return the figures of its network."""
    result = run_trial(config, data=data, store=store, device=device)
    slim, dense = evaluate_on_test(config, data=data, store=store, device=device)
    networks = [
        load_slim_network(config, data=data, store=store),
        load_dense_network(config, data=data, store=store),
    ]
    timing = MeasuringSettings(device=device, num_threads=threads)
    latency_ms, dense_latency_ms = measure_networks(networks, data.input_shape, timing)
    seconds = result.stage_seconds
    return {
        "num_validation": result.num_images,
        "num_correct_after_removal": result.num_correct_after_removal,
        "num_correct_validation": result.num_correct_fine_tuned,
        "num_images": slim.num_images,
        "num_correct": slim.num_correct,
        "num_correct_dense": dense.num_correct,
        "macs_share": result.macs / result.dense_macs,
        "params_share": result.params / result.dense_params,
        "dense_macs": result.dense_macs,
        "dense_params": result.dense_params,
        "latency_ms": latency_ms,
        "dense_latency_ms": dense_latency_ms,
        "seconds": {
            "pruning": sum(time for stage, time in seconds.items() if stage not in {"dense", "fine_tune"}),
            "fine_tuning": seconds["fine_tune"],
        },
        "peak_memory_mb": max(
            peak for stage, peak in result.stage_peak_memory_mb.items() if stage != "dense"
        ),
    }


def measure_peer(
    row: Row,
    config: PruningConfig,
    data: DataSplits,
    store: Path,
    *,
    environments: Path,
    device: str,
    threads: int,
) -> Mapping[str, Any]:
    """Have a peer's tool prune our dense network, which is trained first if need be.

    Raises:
        PeerError: The tool cannot be installed, or ended without figures; the text says why.
    """
    assert row.peer is not None
    peer = PRUNERS[row.peer]
    python = make_environment(peer, environments)
    run_stage("dense", config, data=data, store=ArtifactStore(store), device=device)
    task = {
        "config": config.model_dump(mode="json"),
        "store": str(store.absolute()),
        "options": dict(row.options),
        "training_epochs": row.training_epochs,
        "device": device,
        "threads": threads,
    }
    done = subprocess.run(  # noqa: S603 - runners are ours
        [python, "-m", *peer.runner],
        input=json.dumps(task) + "\n",
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        said = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise PeerError(
            f"{row.peer} must prune the network, but ended with: {said}; leave it out with --rows"
        )
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures
