"""What each of two processes does in the tests of ``pruning_core.distributed``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.config import (
    DatasetConfig,
    DistillationConfig,
    PredictorConfig,
    PruningConfig,
    TrainingConfig,
    load_config,
)
from pruning_core.data import (
    Augmentation,
    Batch,
    DataSplits,
    ImageSubset,
    assemble_splits,
    image_folder,
    load_data,
)
from pruning_core.data.image_files import ImageFiles
from pruning_core.distributed.membership import joined, read_place
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.progress import report_no_step
from pruning_core.saliency.fitting import fit
from pruning_core.stages import Artifact, ArtifactStore, checkpoints, run_stage, run_trial
from pruning_core.training import Teacher, TrainingState, evaluate, train_classifier
from tests.synthetic import NUM_CLASSES, make_data, make_images, make_network

TRAINING = TrainingConfig(
    epochs=2, batch_size=32, learning_rate=0.05, distillation=DistillationConfig(weight=0.3)
)
RUN: dict[str, Any] = {
    "architecture": {"name": "cifar_resnet8", "width": 0.5},
    "dense_training": {"epochs": 1, "batch_size": 32},
    "saliency": {"predictor": {"epochs": 1}, "selector": {"epochs": 1}},
    "gates": {"steps": 3, "num_images": 64, "batch_size": 32},
    "fine_tuning": {"epochs": 1, "batch_size": 32},
}


def augmented_data() -> DataSplits:
    """Images that order and augmentation change."""
    train, validation, test = (make_images(count, seed=seed) for seed, count in enumerate((128, 41, 8)))
    names = [str(label) for label in range(NUM_CLASSES)]
    return assemble_splits(train, validation, test, class_names=names, augmentation=Augmentation.CROP_FLIP)


def plain_network(seed: int = 0) -> nn.Module:
    """A network without batch normalisation, so that a share of a batch gives its share of the gradient."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(392, 4),
    )


def trained(processes: Processes) -> nn.Module:
    """Train a plain network for some steps; each process starts from other weights, of which the first's count."""
    network = plain_network(seed=processes.rank)
    train_classifier(
        network,
        augmented_data(),
        TRAINING,
        seed=0,
        teacher=Teacher(network=plain_network(seed=7)),
        processes=processes,
    )
    return network


def resumed(processes: Processes) -> nn.Module:
    """Train as ``trained``, but in two parts, the second from what the first process has of the first part."""
    states: list[TrainingState] = []
    settings: dict[str, Any] = {"seed": 0, "teacher": Teacher(network=plain_network(seed=7))}
    train_classifier(
        plain_network(seed=processes.rank),
        augmented_data(),
        TRAINING,
        processes=processes,
        see_state=states.append,
        **settings,
    )
    network = plain_network(seed=5 + processes.rank)
    train_classifier(network, augmented_data(), TRAINING, processes=processes, start=states[0], **settings)
    return network


def streamed(processes: Processes, folder: Path) -> nn.Module:
    """Train a plain network on a folder of images that are decoded batch by batch, cropped and flipped."""
    before, image_folder.MAX_DECODED_BYTES = image_folder.MAX_DECODED_BYTES, 100
    try:
        data = load_data(DatasetConfig(name="image_folder", root=str(folder), image_size=16))
    finally:
        image_folder.MAX_DECODED_BYTES = before
    assert isinstance(data.train, ImageSubset)
    assert isinstance(data.train.parent, ImageFiles)
    network, settings = plain_network(), TrainingConfig(epochs=2, batch_size=8, learning_rate=0.05)
    train_classifier(network, data, settings, seed=0, processes=processes)
    return network


class KilledError(Exception):
    """Stands for the end of both processes."""


def resumed_stage(processes: Processes, store: ArtifactStore) -> list[int]:
    """Train a dense network in a run that is killed in its second epoch; return what the next run trains of it."""
    config = load_config({**RUN, "dense_training": {"epochs": 3, "batch_size": 32}})
    seen: list[int] = []

    def report(stage: str, done: int, total: int) -> None:
        assert stage == "dense"
        seen.append(3 * done // total)
        if seen == [1, 2]:
            raise KilledError

    for _ in range(2):
        with suppress(KilledError):
            run_stage("dense", config, data=make_data(), store=store, report=report, processes=processes)
    return seen[2:]


def fitted(processes: Processes) -> nn.Module:
    """Fit a plain network to a loss that is not its own output's alone."""
    network = plain_network()

    def loss_of(batch: Batch) -> Tensor:
        return F.cross_entropy(network(0.5 * batch.images_NCHW), batch.labels_N)

    settings = PredictorConfig(epochs=1, batch_size=32)
    fit(
        network,
        loss_of,
        augmented_data(),
        settings,
        seed=0,
        noise=torch.Generator(),
        stage="fit",
        report=report_no_step,
        processes=processes,
    )
    return network


def with_batch_norm(processes: Processes) -> nn.Module:
    """Train a residual network, whose running statistics each process gathers for itself."""
    network = make_network()
    train_classifier(
        network, make_data(), TrainingConfig(epochs=1, batch_size=32), seed=0, processes=processes
    )
    return network


class CountingStore(ArtifactStore):
    """Remembers which keys it was given."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.keys: list[str] = []

    def put(self, key: str, artifact: Artifact) -> None:
        self.keys.append(key)
        super().put(key, artifact)


def run_config() -> PruningConfig:
    """A whole run of the steered method, as small as it gets."""
    return load_config(RUN)


def agree(processes: Processes, folder: Path) -> dict[str, Any]:
    """Do everything that processes do together, and return what came out."""
    data = augmented_data()
    network = trained(processes)
    store = CountingStore(folder / "store")
    result = run_trial(run_config(), data=make_data(), store=store, processes=processes)
    again = run_trial(run_config(), data=make_data(), store=store, processes=processes)
    return {
        "trained": network.state_dict(),
        "streamed": streamed(processes, folder / "images").state_dict(),
        "resumed": resumed(processes).state_dict(),
        "resumed_stage": resumed_stage(processes, ArtifactStore(folder / "resumed")),
        "fitted": fitted(processes).state_dict(),
        "batch_norm": with_batch_norm(processes).state_dict(),
        "evaluation": asdict(
            evaluate(network, data.validation, data.normalisation, batch_size=16, processes=processes)
        ),
        "result": {key: value for key, value in result.to_plain().items() if key != "peak_memory_mb"},
        "cached": again.cached_stages,
        "keys": store.keys,
    }


def main() -> None:
    """Do what the environment says this process's part is, and keep what came out as FOLDER/RANK.pt."""
    torch.set_num_threads(1)
    checkpoints._EVERY_S = 0.0
    folder = Path(sys.argv[1])
    with joined(read_place(os.environ), "cpu") as processes:
        assert processes != ALONE
        torch.save(agree(processes, folder), folder / f"{processes.rank}.pt")


if __name__ == "__main__":
    main()
