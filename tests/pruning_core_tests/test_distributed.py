"""Two processes on the CPU (gloo) do what one does, and end together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pruning_core.config import TrainingConfig, load_config
from pruning_core.distributed.membership import Place, device_of, read_place
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import InvalidSettingsError
from pruning_core.stages import ArtifactStore, run_trial
from pruning_core.training import evaluate, train_classifier
from tests.pruning_core_tests.distributed_program import (
    augmented_data,
    fitted,
    plain_network,
    run_config,
    streamed,
    trained,
)
from tests.pruning_core_tests.test_data_folders import write_folder
from tests.synthetic import make_data, make_network

ROOT = Path(__file__).parents[2]
LONGEST_S = 500  # on a busy machine; alone, each takes a few seconds


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run_two(program: str, argument: str) -> list[subprocess.CompletedProcess[str]]:
    """Run a program of this folder in two processes, as torchrun would start them, and wait for both."""
    command = [sys.executable, "-m", f"tests.pruning_core_tests.{program}", argument]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=LONGEST_S) for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        subprocess.CompletedProcess(command, process.returncode, *output)
        for process, output in zip(started, outputs, strict=True)
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes got when they did everything together."""
    folder = tmp_path_factory.mktemp("two")
    write_folder(folder / "images", "train", per_class=20)
    for ended in run_two("distributed_program", str(folder)):
        assert ended.returncode == 0, ended.stderr
    alone = streamed(ALONE, folder / "images").state_dict()
    results = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return [{**result, "streamed_alone": alone} for result in results]


def assert_close(came: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert came.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(came[name], tensor, rtol=1e-4, atol=1e-6)


def test_two_processes_with_half_batches_train_as_one_with_whole_batches(two: list[dict[str, Any]]) -> None:
    alone = trained(ALONE).state_dict()
    assert_close(two[0]["trained"], alone)
    start = plain_network().state_dict()
    assert not any(torch.allclose(tensor, start[name], rtol=0.01) for name, tensor in alone.items())


def test_a_training_by_two_goes_on_from_what_the_first_one_kept(two: list[dict[str, Any]]) -> None:
    assert_close(two[0]["resumed"], two[0]["trained"])
    assert_close(two[1]["resumed"], two[0]["trained"])
    assert [one["resumed_stage"] for one in two] == [[2, 3], [2, 3]]


def test_two_train_on_a_streamed_folder_as_one_does(two: list[dict[str, Any]]) -> None:
    assert_close(two[0]["streamed"], two[0]["streamed_alone"])
    assert_close(two[1]["streamed"], two[0]["streamed_alone"])


def test_a_loss_that_is_not_the_networks_own_output_is_fitted_together_too(two: list[dict[str, Any]]) -> None:
    assert_close(two[0]["fitted"], fitted(ALONE).state_dict())


def test_all_processes_end_with_the_same_network(two: list[dict[str, Any]]) -> None:
    for part in ("trained", "fitted", "batch_norm"):
        for name, tensor in two[0][part].items():
            assert torch.equal(tensor, two[1][part][name]), f"{part}: {name}"


def test_batch_normalisation_sees_its_own_share(
    two: list[dict[str, Any]],
) -> None:
    network = make_network()
    train_classifier(network, make_data(), TrainingConfig(epochs=1, batch_size=32), seed=0)
    name = "bn1.running_mean"
    alone, together = network.state_dict(), two[0]["batch_norm"]
    assert alone.keys() == together.keys()
    assert not torch.equal(alone[name], together[name])
    torch.testing.assert_close(alone[name], together[name], rtol=0.2, atol=0.2)


def test_both_return_the_evaluation_of_all_images(two: list[dict[str, Any]]) -> None:
    data = augmented_data()
    alone = evaluate(trained(ALONE), data.validation, data.normalisation)
    for one in two:
        assert one["evaluation"]["num_images"] == alone.num_images == 41
        assert one["evaluation"]["num_correct"] == alone.num_correct
        assert one["evaluation"]["loss"] == pytest.approx(alone.loss, rel=1e-4)


def test_one_process_stores_each_artifact_once_and_all_return_one_result(
    two: list[dict[str, Any]], tmp_path: Path
) -> None:
    alone = run_trial(run_config(), data=make_data(), store=ArtifactStore(tmp_path))
    assert two[0]["keys"] == list(alone.artifact_keys.values())
    assert two[1]["keys"] == []
    assert two[0]["result"] == two[1]["result"]
    assert two[0]["result"]["trial_key"] == alone.trial_key
    assert two[0]["result"]["limits"] == alone.limits
    assert two[0]["cached"] == two[1]["cached"] == tuple(alone.artifact_keys)


def test_what_one_process_fails_of_ends_the_other_with_its_reason() -> None:
    first, second = run_two("failing_program", "fail")
    assert second.returncode != 0
    assert "OSError: the disk is on fire in step 2" in second.stderr
    assert first.returncode != 0
    assert (
        "LostProcessError: all 2 processes must go on together, but process 1 ended: OSError: the disk is on fire in "
        "step 2; mend that, and start all of them again"
    ) in first.stderr


def test_a_process_that_is_killed_ends_the_one_that_waits_for_it() -> None:
    first, second = run_two("failing_program", "vanish")
    assert second.returncode == -9
    assert first.returncode != 0
    assert (
        "LostProcessError: all 2 processes must go on together, but one ended without a word" in first.stderr
    )


def test_batches_that_do_not_divide_are_refused_before_anything_trains(tmp_path: Path) -> None:
    config = load_config(
        {"method": "l1", "fine_tuning": {"batch_size": 33}, "saliency": {"predictor": {"batch_size": 35}}}
    )
    two, three = (Processes(rank=0, count=count) for count in (2, 3))
    message = "a batch must divide equally between 2 processes, but one has 33"  # l1 has no predictor
    with pytest.raises(InvalidSettingsError, match=message):
        run_trial(config, data=make_data(), store=ArtifactStore(tmp_path), processes=two)
    with pytest.raises(
        InvalidSettingsError, match="a batch must divide equally between 3 processes, but one has 128"
    ):
        run_trial(config, data=make_data(), store=ArtifactStore(tmp_path), processes=three)
    assert list(tmp_path.iterdir()) == []


def test_shares_of_one_image_are_refused_with_batch_normalisation() -> None:
    message = (
        "batch_size must be at least 4 to train a network with batch normalisation by 2 processes, but got 2"
    )
    with pytest.raises(InvalidSettingsError, match=message):
        train_classifier(
            make_network(), make_data(), TrainingConfig(batch_size=2), seed=0, processes=Processes(count=2)
        )


def test_torchruns_variables_are_read_and_anything_else_is_refused() -> None:
    three = {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "0"}
    assert read_place(three) == Place(rank=2, count=3, local_rank=0)
    assert read_place({}) is None
    assert read_place({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) is None
    with pytest.raises(
        InvalidSettingsError, match="LOCAL_RANK must be a number where WORLD_SIZE is set, but is ''"
    ):
        read_place({"RANK": "0", "WORLD_SIZE": "2"})


PLACE = Place(rank=5, count=8, local_rank=1)


@pytest.mark.parametrize(
    ("device", "place", "num_gpus", "wanted"),
    [
        ("cpu", PLACE, 0, "cpu"),
        ("cuda", None, 1, "cuda"),
        ("cuda:3", None, 4, "cuda:3"),
        ("cuda", PLACE, 4, "cuda:1"),
    ],
)
def test_each_process_gets_its_own_gpu(device: str, place: Place | None, num_gpus: int, wanted: str) -> None:
    assert device_of(device, place, num_gpus=num_gpus) == wanted


@pytest.mark.parametrize(
    ("device", "place", "num_gpus", "message"),
    [
        ("cuda", None, 0, "device 'cuda' needs a GPU that torch can use, but there is none"),
        (
            "cuda:0",
            PLACE,
            4,
            "the device must be 'cuda' where several processes take a GPU each, but got 'cuda:0'",
        ),
        ("cuda", PLACE, 1, "every process needs a GPU of its own, but this is number 2 on a machine with 1"),
    ],
)
def test_gpus_that_are_not_there_are_refused(
    device: str, place: Place | None, num_gpus: int, message: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=message):
        device_of(device, place, num_gpus=num_gpus)
