"""Channels removed by NVIDIA ModelOpt's FastNAS, through its public interface. Runs where ModelOpt is installed.

Reference: github.com/NVIDIA/Model-Optimizer, ``modelopt.torch.prune`` (Apache-2.0), version 0.47.0.
"""

from __future__ import annotations

import copy
import tempfile
from itertools import islice
from pathlib import Path

import modelopt.torch.prune as mtp
import torch
from torch import Tensor, nn

from benchmarks.peers.runners.assignment import Assignment
from pruning_core.channels import count_cost
from pruning_core.data import iterate_batches, take
from pruning_core.training import evaluate

__all__ = ["prune"]

_NUM_SCORE_IMAGES = 2_500
_NUM_CALIBRATION_BATCHES = 20
_BATCH = 128
_MAX_TRIES = 8


def prune(given: Assignment) -> nn.Module:
    """Search for the widths that keep validation accuracy within the budget, by our count.

    ModelOpt counts operations in its own way; where its network is above the budget by ours, it searches again with
    less. Scores that it has measured are kept between tries, in the file that it offers for that.

    ``options``: ``channel_divisor``: kept channels are multiples of it.

    Raises:
        RuntimeError: By our count, every try was above the budget.
    """
    assert given.training_epochs == 0, "FastNAS does not train"
    asked = given.max_macs / count_cost(given.network, given.data.input_shape).macs
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_MAX_TRIES):
            slim = _search(given, asked, Path(folder))
            found = count_cost(slim, given.data.input_shape).macs
            if found <= given.max_macs:
                return slim
            asked *= 0.999 * given.max_macs / found
    raise RuntimeError(f"FastNAS must reach {given.max_macs} MACs within {_MAX_TRIES} tries, but has {found}")


def _search(given: Assignment, share: float, folder: Path) -> nn.Module:
    data, device, divisor = given.data, given.device, given.options["channel_divisor"]
    settings = mtp.fastnas.FastNASConfig()
    settings["nn.Conv2d"]["*"]["channel_divisor"] = divisor
    settings["nn.BatchNorm2d"]["*"]["feature_divisor"] = divisor
    shown = iterate_batches(
        data.train,
        data.normalisation,
        batch_size=min(_BATCH, len(data.train)),
        device=device,
        generator=torch.Generator().manual_seed(given.seed),
    )
    scored = take(data.validation, torch.arange(min(_NUM_SCORE_IMAGES, len(data.validation))))
    slim, _ = mtp.prune(
        copy.deepcopy(given.network),
        mode=[("fastnas", settings)],
        constraints={"flops": f"{100 * share:.4f}%"},
        dummy_input=torch.zeros(1, *data.input_shape, device=device),
        config={
            "data_loader": [batch.images_NCHW for batch in islice(shown, _NUM_CALIBRATION_BATCHES)],
            "collect_func": _same,
            "score_func": lambda candidate: (
                evaluate(candidate, scored, data.normalisation, device=device).accuracy
            ),
            "checkpoint": str(folder / "scores.pt"),
        },
    )
    exported: nn.Module = slim
    return exported


def _same(images_NCHW: Tensor) -> Tensor:
    return images_NCHW
