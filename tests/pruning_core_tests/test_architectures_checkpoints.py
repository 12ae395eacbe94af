"""Dense weights from files: formats, wrappers, and files that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pruning_core.architectures import build_network, load_checkpoint
from pruning_core.config import ArchitectureConfig
from pruning_core.errors import InvalidCheckpointError
from tests.synthetic import make_network, same_weights


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def load(network: nn.Module, path: Path) -> None:
    load_checkpoint(network, path, architecture="cifar_resnet8")


def test_safetensors_files_are_loaded(tmp_path: Path, tiny_network: nn.Module) -> None:
    source, path = make_network(seed=7), tmp_path / "dense.safetensors"
    safetensors.torch.save_file(weights_of(source), path)
    assert not same_weights(tiny_network, source)
    load(tiny_network, path)
    assert same_weights(tiny_network, source)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3, "best": 0.9},
        lambda weights: {"model": weights},
        lambda weights: {"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}},
    ],
)
def test_pytorch_files_are_loaded_with_their_usual_wrappers(
    tmp_path: Path, tiny_network: nn.Module, suffix: str, wrap: Any
) -> None:
    source, path = make_network(seed=7), tmp_path / f"dense{suffix}"
    torch.save(wrap(weights_of(source)), path)
    load(tiny_network, path)
    assert same_weights(tiny_network, source)


def test_old_files_without_batch_counters_are_loaded(tmp_path: Path, tiny_network: nn.Module) -> None:
    source, path = make_network(seed=7), tmp_path / "dense.pt"
    torch.save({n: t for n, t in weights_of(source).items() if not n.endswith("num_batches_tracked")}, path)
    load(tiny_network, path)
    assert same_weights(tiny_network, source)


def test_a_network_that_asks_for_the_version_of_its_weights_takes_plain_tensors(tmp_path: Path) -> None:
    config, path = ArchitectureConfig(name="torchvision:mnasnet0_5"), tmp_path / "dense.safetensors"
    source, network = (build_network(config, num_classes=4, in_channels=3, seed=seed) for seed in (1, 2))
    safetensors.torch.save_file(weights_of(source), path)
    load(network, path)
    assert same_weights(network, source)


def without_first(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if name != "conv1.weight"}


def with_another(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"extra.weight": torch.zeros(1)}


def with_another_shape(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"linear.weight": torch.zeros(10, 32)}


def with_nan(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"linear.bias": torch.full((4,), float("nan"))}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_first, r"1 of its \d+ tensors are missing \(first: 'conv1\.weight'\)\."),
        (with_another, r"1 are unexpected \(first: 'extra\.weight'\)\."),
        (
            with_another_shape,
            r"1 have another shape \(first: 'linear\.weight' is \(10, 32\) instead of \(4, 32\)\)\.",
        ),
        (with_nan, r"'linear\.bias' holds NaN or infinity"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_do_not_fit_are_refused_and_leave_the_network_alone(
    tmp_path: Path, tiny_network: nn.Module, spoil: Any, message: str, suffix: str
) -> None:
    before, path = weights_of(tiny_network), tmp_path / f"x{suffix}"
    weights = spoil(weights_of(make_network(seed=7)))
    if suffix == ".pt":
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)
    with pytest.raises(
        InvalidCheckpointError, match=r"^Checkpoint '.*' does not fit 'cifar_resnet8': " + message
    ) as e:
        load(tiny_network, path)
    assert "\n" not in str(e.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_network.state_dict().items())


def write_cut_off(path: Path) -> None:
    whole = path.with_name("whole" + path.suffix)
    if path.suffix == ".pt":
        torch.save(weights_of(make_network()), whole)
    else:
        safetensors.torch.save_file(weights_of(make_network()), whole)
    path.write_bytes(whole.read_bytes()[:5000])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, tiny_network: nn.Module, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    write_cut_off(path)
    with pytest.raises(
        InvalidCheckpointError, match=r"must (be a complete file of weights|hold weights only)"
    ) as e:
        load(tiny_network, path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("content", [b"", b"garbage"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_of_something_else_are_refused(
    tmp_path: Path, tiny_network: nn.Module, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidCheckpointError, match=f"checkpoint '.*other{suffix}' must"):
        load(tiny_network, path)


def test_a_pickled_network_is_refused_without_running_it(tmp_path: Path, tiny_network: nn.Module) -> None:
    path = tmp_path / "network.pt"
    torch.save(tiny_network, path)
    with pytest.raises(InvalidCheckpointError, match=r"must hold weights only.*save network\.state_dict\(\)"):
        load(tiny_network, path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}])
def test_files_without_weights_are_refused(tmp_path: Path, tiny_network: nn.Module, content: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(InvalidCheckpointError, match="must hold tensors by name"):
        load(tiny_network, path)


def test_missing_files_and_unknown_endings_are_refused(tmp_path: Path, tiny_network: nn.Module) -> None:
    with pytest.raises(InvalidCheckpointError, match="must be a file of weights, but does not exist"):
        load(tiny_network, tmp_path / "missing.pt")
    path = tmp_path / "weights.h5"
    path.write_bytes(b"")
    with pytest.raises(InvalidCheckpointError, match=r"must end in \.bin, .*, but got '\.h5'"):
        load(tiny_network, path)
