"""What networks are like where they are deployed: size, MACs, latency, accuracy; dense, slim, and slim in int8.

    python -m benchmarks.deployment --root data --store results/artifacts --out docs/results

One dense network is trained on a subset of Fashion-MNIST and pruned to a share of its MACs twice, with kept counts as
they come (``round_to: 1``) and rounded for the hardware (``auto``). Each network is exported; files are checked on
1,000 test images in processes that have onnxruntime or torch alone; all of them take turns in onnxruntime. Finished
stages are found in the store. Writes deployment.json and deployment.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from benchmarks.deployment_page import render
from benchmarks.machine import describe_machine
from benchmarks.round_trip import put_images, run_alone
from pruning_core.channels import count_cost
from pruning_core.channels.layout import Layout
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, iterate_batches, load_data
from pruning_core.export import EXPORTERS, ExportedFile, NetworkOrigin, OnnxNetwork, export_network
from pruning_core.latency.turns import TurnSettings, measure_in_turns, noise_batch, quantiles_ms
from pruning_core.stages import (
    ArtifactStore,
    evaluate_on_test,
    load_dense_network,
    load_slim_network,
    run_trial,
    slim_layout_of,
)
from reports.model_card import Int8Card
from search.exporting.extras import INT8, add_extras

NUM_ROUND_TRIP_IMAGES = 1000
ROUNDINGS: dict[str, int | str] = {"slim, as it comes": 1, "slim, rounded": "auto"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Subject:
    """A network to deploy. ``num_correct``: of the test images."""

    name: str
    network: nn.Module
    layout: Layout
    num_correct: int


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train, prune, export and measure."""
    torch.set_num_threads(1)
    store = ArtifactStore(options.store)
    configs = {name: _config(options, rounding) for name, rounding in ROUNDINGS.items()}
    data = load_data(next(iter(configs.values())).dataset)
    for name, config in configs.items():
        result = run_trial(config, data=data, store=store)
        print(
            f"{name}: {result.num_correct_fine_tuned} of {result.num_images} right on validation", flush=True
        )
    with tempfile.TemporaryDirectory() as folder:
        rows: list[dict[str, Any]] = []
        sessions: dict[str, OnnxNetwork] = {}
        for subject in _subjects(configs, data, store):
            found, files = _deploy(subject, data, configs, Path(folder))
            rows += found
            sessions |= files
            print(f"{subject.name}: exported and checked", flush=True)
        times = measure_in_turns(_passes(sessions, data), TurnSettings(passes=options.passes))
    for row in rows:
        row["median_ms"], row["p90_ms"] = quantiles_ms(times[row["name"]])
    return {
        "command": _command(),
        "machine": describe_machine("cpu", 1),
        "architecture": options.architecture,
        "images": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        "epochs": {"dense": options.dense_epochs, "fine_tuning": options.epochs},
        "macs": options.macs,
        "passes": options.passes,
        "round_trip_images": min(NUM_ROUND_TRIP_IMAGES, len(data.test)),
        "rows": rows,
    }


def _config(options: argparse.Namespace, rounding: int | str) -> PruningConfig:
    return load_config(
        {
            "architecture": {"name": options.architecture},
            "dataset": {
                "name": "fashion_mnist",
                "root": str(options.root),
                "train_images": options.images,
                "test_images": options.test_images,
                "validation_share": 0.25,
            },
            "method": "l1",
            "budgets": {"macs": options.macs},
            "channels": {"round_to": rounding},
            "dense_training": {"epochs": options.dense_epochs, "learning_rate": 0.1},
            "fine_tuning": {"epochs": options.epochs, "learning_rate": 0.03},
        }
    )


def _subjects(configs: Mapping[str, PruningConfig], data: DataSplits, store: ArtifactStore) -> list[_Subject]:
    first = next(iter(configs.values()))
    dense = load_dense_network(first, data=data, store=store)
    scores = {name: evaluate_on_test(config, data=data, store=store) for name, config in configs.items()}
    dense_correct = next(iter(scores.values()))[1].num_correct
    return [
        _Subject(name="dense", network=dense, layout={}, num_correct=dense_correct),
        *(
            _Subject(
                name=name,
                network=load_slim_network(config, data=data, store=store),
                layout=cast("Layout", slim_layout_of(config, data=data, store=store)),
                num_correct=scores[name][0].num_correct,
            )
            for name, config in configs.items()
        ),
    ]


def _deploy(
    subject: _Subject, data: DataSplits, configs: Mapping[str, PruningConfig], scratch: Path
) -> tuple[list[dict[str, Any]], dict[str, OnnxNetwork]]:
    """Export a network, check its files, and return its rows and what runs it: in single precision, and in int8."""
    int8: list[Int8Card] = []

    def complete(partial: Path, files: dict[str, ExportedFile]) -> Mapping[str, Any]:
        extras = add_extras(partial, files, subject.network, data, as_int8=True, target_bytes=None)
        assert extras.int8 is not None
        int8.append(extras.int8)
        return {}

    examples = next(iterate_batches(data.validation, data.normalisation, batch_size=8)).images_NCHW
    report = export_network(
        subject.network,
        scratch / subject.name.replace(" ", "-"),
        NetworkOrigin(
            architecture=next(iter(configs.values())).architecture.model_dump(mode="json"),
            layout=subject.layout,
            input_shape=data.input_shape,
            class_names=data.class_names,
            normalisation=data.normalisation.to_plain(),
            facts={},
        ),
        example_images=examples,
        complete=complete,
    )
    cost, num_images = count_cost(subject.network, data.input_shape), len(data.test)
    common = {"macs": cost.macs, "params": cost.params, "num_images": num_images}
    same = check_round_trip(report.folder, subject.network, data, scratch)
    exact = {
        **common,
        "name": subject.name,
        "num_bytes": report.num_bytes[report.files["onnx"].name],
        "num_correct": subject.num_correct,
        "num_same": num_images,
        "round_trip": {name: same[name] for name in EXPORTERS},
        "all_bytes": {file.name: report.num_bytes[file.name] for file in report.files.values()},
    }
    quantised = {
        **common,
        "name": f"{subject.name}, int8",
        "num_bytes": report.num_bytes[report.files[INT8].name],
        "num_correct": int8[0].num_correct_test,
        "num_same": int8[0].num_same_test,
        "round_trip": {INT8: same[INT8]},
    }
    files = {
        str(row["name"]): OnnxNetwork(report.folder / report.files[name].name)
        for row, name in ((exact, "onnx"), (quantised, INT8))
    }
    return [exact, quantised], files


def check_round_trip(folder: Path, network: nn.Module, data: DataSplits, scratch: Path) -> dict[str, int]:
    """Return on how many test images each file, run in a process of its own, answers as the network does here."""
    count = min(NUM_ROUND_TRIP_IMAGES, len(data.test))
    pixels_NCHW = data.test.read(torch.arange(count))
    with torch.no_grad():
        expected_NC = network(data.normalisation.apply(pixels_NCHW)).numpy()
    put_images(folder, pixels_NCHW.numpy(), expected_NC)
    return {
        name: int(np.sum(run_alone(folder, name, scratch).logits_NC.argmax(1) == expected_NC.argmax(1)))
        for name in (*EXPORTERS, INT8)
    }


def _passes(sessions: Mapping[str, OnnxNetwork], data: DataSplits) -> dict[str, Any]:
    images_NCHW = noise_batch(data.input_shape, 1)
    return {name: lambda session=session: session(images_NCHW) for name, session in sessions.items()}


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.deployment", *_without_places(sys.argv[1:])])


def _without_places(arguments: Sequence[str]) -> list[str]:
    """Return arguments but for where files lie on this machine."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument in ("--root", "--store", "--out"):
            skip = not skip
            continue
        kept.append(argument)
    return kept


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of FashionMNIST/raw")
    parser.add_argument("--store", type=Path, default=Path("results/artifacts"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--architecture", default="cifar_resnet20")
    parser.add_argument("--images", type=int, default=8000, help="to train and choose on")
    parser.add_argument("--test-images", type=int, default=None, help="all 10,000 if left out")
    parser.add_argument("--dense-epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3, help="of fine-tuning")
    parser.add_argument("--macs", type=float, default=0.4, help="share that stays")
    parser.add_argument("--passes", type=int, default=200, help="of each file")
    options = parser.parse_args(arguments)
    results = measure(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "deployment.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.out / "deployment.md").write_text(render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
