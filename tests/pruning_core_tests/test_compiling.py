"""Networks that are compiled while they are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning_core.compiling import check_compiler, compiled
from pruning_core.config import DistillationConfig, TrainingConfig, load_config
from pruning_core.data import DataSplits
from pruning_core.errors import InvalidSettingsError
from pruning_core.stages import ArtifactStore, run_trial
from pruning_core.training import Teacher, teaching, train_classifier
from tests.synthetic import make_network, same_weights

SETTINGS = TrainingConfig(
    epochs=1, batch_size=32, learning_rate=0.05, distillation=DistillationConfig(weight=0.5)
)


def test_without_a_compiler_the_network_itself_is_called() -> None:
    network = make_network()
    with compiled(network, None) as called:
        assert called is network


def test_what_is_compiled_shares_the_weights() -> None:
    network = nn.Linear(2, 1, bias=False)
    with compiled(network, "eager") as called:
        assert called is not network
        assert next(iter(called.parameters())) is network.weight


def test_training_through_a_compiler_that_changes_nothing_changes_nothing(tiny_data: DataSplits) -> None:
    plain, through = make_network(), make_network()
    expected = train_classifier(
        plain, tiny_data, SETTINGS, seed=0, teacher=Teacher(network=make_network(seed=1))
    )
    found = train_classifier(
        through, tiny_data, SETTINGS, seed=0, teacher=Teacher(network=make_network(seed=1)), compiler="eager"
    )
    assert found == expected
    assert same_weights(through, plain)


def test_all_classifiers_of_a_run_are_compiled_and_no_stage_key_moves(
    tiny_data: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    @contextmanager
    def note(network: nn.Module, compiler: str | None) -> Iterator[nn.Module]:
        seen.append(compiler)
        yield network

    monkeypatch.setattr(teaching, "compiled", note)
    short = {"epochs": 1, "batch_size": 64}
    config = load_config(
        {"method": "l1", "architecture": {"width": 0.25}, "dense_training": short, "fine_tuning": short}
    )
    store = ArtifactStore(tmp_path)
    first = run_trial(config, data=tiny_data, store=store, compiler="inductor")
    assert seen == ["inductor"] * 3  # the dense network, then it as a teacher and the slim one
    again = run_trial(config, data=tiny_data, store=store)
    assert again.cached_stages == ("dense", "allocate", "fine_tune")
    assert again.trial_key == first.trial_key


def test_an_unknown_compiler_is_refused_with_the_known_ones() -> None:
    check_compiler(None)
    check_compiler("inductor")
    with pytest.raises(
        InvalidSettingsError, match=r"backend of torch.compile \(.*inductor.*\), but got 'gcc'"
    ):
        check_compiler("gcc")
    with pytest.raises(InvalidSettingsError, match="but got 'gcc'"), compiled(make_network(), "gcc"):
        pytest.fail("must not get here")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("compiler", ["inductor", "cudagraphs"])
def test_training_on_a_gpu_learns_the_same_through_a_compiler(tiny_data: DataSplits, compiler: str) -> None:
    plain, through = make_network(), make_network()
    teacher = make_network(seed=1)
    expected = train_classifier(
        plain, tiny_data, SETTINGS, seed=0, teacher=Teacher(network=teacher), device="cuda"
    )
    found = train_classifier(
        through,
        tiny_data,
        SETTINGS,
        seed=0,
        teacher=Teacher(network=teacher),
        device="cuda",
        compiler=compiler,
    )
    assert found.losses == pytest.approx(expected.losses, rel=0.05)
