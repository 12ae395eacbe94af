"""Unusual networks and images in the stages: measured, refitted, rebuilt, trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pruning_core.channels import apply_layout, find_channel_groups, remove_channels, slim_layout
from pruning_core.config import ImportanceConfig, load_config
from pruning_core.data import Augmentation, ImageTensor, assemble_splits
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance import IMPORTANCES, ImportanceContext
from pruning_core.reconstruction import reconstruct_consumers
from pruning_core.stages import ArtifactStore, load_slim_network, preflight, run_trial
from tests.pruning_core_tests.channel_networks import random_selection
from tests.pruning_core_tests.unusual_networks import LEFT_ALONE, PRUNED, Case
from tests.synthetic import make_data

CASES = PRUNED | LEFT_ALONE
NUM_CLASSES = 5
MEASURING = ("taylor", "task_inspired", "attribution", "tf_idf")
"""Scores that run images through the network; the others only read weights by position."""


def context_of(case: Case) -> ImportanceContext:
    """Noise for the network of a case, with labels; the network in evaluation mode."""
    pixels_NCHW = torch.randint(
        0, 256, (20, *case.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    images = ImageTensor(images_NCHW=pixels_NCHW, labels_N=torch.arange(20) % NUM_CLASSES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = case.build().eval()
    return ImportanceContext(
        network=network,
        graph=find_channel_groups(network, case.shape, scope="all"),
        data=assemble_splits(images, images, images, class_names=list("abcde")),
        settings=ImportanceConfig(num_images=20, num_positions=64),
        seed=0,
    )


@pytest.mark.parametrize("title", CASES)
def test_methods_that_look_at_images_rate_every_group(title: str) -> None:
    context = context_of(CASES[title])
    for name in MEASURING:
        scores = IMPORTANCES[name].score(context)
        assert [len(scores[group.name]) for group in context.graph.groups] == [
            group.num_channels for group in context.graph.groups
        ]
        assert all(bool((score_C.isfinite() & (score_C >= 0)).all()) for score_C in scores.values())


@pytest.mark.parametrize("title", CASES)
def test_what_is_left_is_refitted_no_worse_and_can_be_built_again(title: str) -> None:
    case = CASES[title]
    context = context_of(case)
    selection = random_selection(context.graph, seed=3, share=0.5)
    slim = remove_channels(context.network, context.graph, selection)
    for layer in reconstruct_consumers(slim, context, selection):
        assert layer.error_before is not None
        assert layer.error_after is not None
        assert layer.error_after <= layer.error_before * (1 + 1e-6)
    again = apply_layout(case.build(), slim_layout(context.network, context.graph, selection)).eval()
    again.load_state_dict(slim.state_dict())
    images_NCHW = torch.randn(2, *case.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(again(images_NCHW), slim.eval()(images_NCHW))


@pytest.mark.parametrize("network_weights", ["frozen", "joint"])
def test_grey_images_of_odd_size_with_one_left_over_in_each_epoch_go_through_all_stages(
    tmp_path: Path, network_weights: str
) -> None:
    whole = make_data(num_train=33, num_validation=9, num_test=9, in_channels=1)
    parts = []
    for images in (whole.train, whole.validation, whole.test):
        pixels_NCHW = images.read(torch.arange(len(images)))[:, :, :13, :15].contiguous()
        parts.append(ImageTensor(images_NCHW=pixels_NCHW, labels_N=images.labels_N))
    data = assemble_splits(*parts, class_names=whole.class_names, augmentation=Augmentation.CROP_FLIP)
    training = {"epochs": 1, "batch_size": 16}
    config = load_config(
        {
            "architecture": {"name": "cifar_resnet8", "width": 0.5},
            "dense_training": training,
            "saliency": {"predictor": training, "selector": training},
            "gates": {
                "steps": 4, "num_images": 33, "batch_size": 16, "network_weights": network_weights
            },
            "recovery": {"reconstruct": True, "num_images": 33},
            "fine_tuning": training,
        }
    )  # fmt: skip
    store = ArtifactStore(tmp_path)
    result = run_trial(config, data=data, store=store)
    assert result.num_images == 9
    assert result.macs <= result.limits["macs"]
    image_1CHW = data.normalisation.apply(data.test.read(torch.zeros(1, dtype=torch.int64)))
    assert load_slim_network(config, data=data, store=store)(image_1CHW).shape == (1, 4)


def test_a_network_without_channels_that_may_go_is_refused_before_anything_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"only_a_head_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(
        "from torch import nn\n"
        "def network(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 256, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = load_config({"architecture": {"name": f"{name}:network"}, "budgets": {"macs": 1.0}})
    message = (
        r"a network must have channels that may go, but all its layers are left alone, the first of them \('1'\) "
        "because its channels are the network's output"
    )
    for scope, advice in (("inner", "; set channels.scope to all"), ("all", "$")):
        channels = config.channels.model_copy(update={"scope": scope})
        with pytest.raises(UnsupportedNetworkError, match=message + advice):
            preflight(config.model_copy(update={"channels": channels}), make_data())
