"""Trainings in bfloat16 learn the same thing, and only where they are asked to or the device is made for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pruning_core.config import PruningConfig, TrainingConfig, load_config
from pruning_core.data import DataSplits
from pruning_core.errors import InvalidSettingsError
from pruning_core.precision import computing_in, in_single, precision_used, run_in
from pruning_core.setting_types import Precision
from pruning_core.stage_graphs import STAGES
from pruning_core.stage_keys import plan_run
from pruning_core.training import train_classifier

TRAINING_STAGES = {"dense", "predictor", "selector", "steer", "fine_tune"}


def with_capabilities(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, "float32"),
        ({"avx512_f": True}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_only_on_processors_that_multiply_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: Precision
) -> None:
    with_capabilities(monkeypatch, **capabilities)
    assert precision_used("auto", "cpu") == expected


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_what_is_asked_for_is_used_whatever_the_device(
    monkeypatch: pytest.MonkeyPatch, asked: Precision
) -> None:
    with_capabilities(monkeypatch, avx512_bf16=asked == "float32")
    assert precision_used(asked, "cpu") == asked


def test_convolutions_run_in_the_precision_and_outputs_come_back_in_single() -> None:
    seen: list[torch.dtype] = []
    network = nn.Conv2d(3, 4, 3)
    network.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    images_NCHW = torch.randn(2, 3, 8, 8)
    assert run_in("bfloat16", network, images_NCHW).dtype is torch.float32
    assert run_in("float32", network, images_NCHW).dtype is torch.float32
    assert seen == [torch.bfloat16, torch.float32]


def test_double_precision_stays_double() -> None:
    numbers = torch.ones(3, dtype=torch.float64)
    assert in_single(numbers) is numbers
    with computing_in("bfloat16", "cpu"):
        assert (numbers @ numbers).dtype is torch.float64


def test_a_training_in_bfloat16_ends_near_the_one_in_single_precision_with_weights_in_single(
    tiny_data: DataSplits,
) -> None:
    settings = TrainingConfig(epochs=3, batch_size=32, learning_rate=0.05)
    losses = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(tiny_data.in_channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, tiny_data.num_classes),
        )
        asked: Precision = "bfloat16" if precision == "bfloat16" else "float32"
        losses[precision] = train_classifier(network, tiny_data, settings, seed=0, precision=asked).losses
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_stages_that_train_depend_on_the_precision_and_no_others() -> None:
    assert {name for name, spec in STAGES.items() if "precision" in spec.reads} == TRAINING_STAGES


def test_auto_leaves_the_keys_of_earlier_studies_and_a_stated_precision_has_its_own() -> None:
    keys = {
        precision: plan_run(PruningConfig(precision=precision), "data").key_of("dense")
        for precision in ("auto", "float32", "bfloat16")
    }
    assert len(set(keys.values())) == 3
    without = PruningConfig().model_dump(mode="json")
    del without["precision"]
    assert plan_run(load_config(without), "data").key_of("dense") == keys["auto"]


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InvalidSettingsError, match=r"'precision': .*'auto', 'float32' or 'bfloat16'.*'float16'"
    ):
        load_config({"precision": "float16"})
