"""What every filter importance must do; a new entry of ``IMPORTANCES`` is tested by being listed."""

from __future__ import annotations

import pytest
import torch

from pruning_core.importance import IMPORTANCES
from tests.pruning_core_tests.importance_cases import importance_context, seeded_network


@pytest.mark.parametrize("name", IMPORTANCES)
def test_scores_are_finite_non_negative_and_of_the_right_shape(name: str) -> None:
    context = importance_context(seeded_network())
    scores = IMPORTANCES[name].score(context)
    assert list(scores) == [group.name for group in context.graph.groups]
    for group in context.graph.groups:
        score_C = scores[group.name]
        assert score_C.shape == (group.num_channels,)
        assert score_C.dtype == torch.float64
        assert score_C.device.type == "cpu"
        assert not score_C.requires_grad
        assert bool((torch.isfinite(score_C) & (score_C >= 0)).all())
        assert float(score_C.max()) > float(score_C.min())


@pytest.mark.parametrize("name", IMPORTANCES)
def test_same_context_gives_the_same_bits(name: str) -> None:
    first = IMPORTANCES[name].score(importance_context(seeded_network()))
    torch.rand(3)  # the global generator must not matter
    second = IMPORTANCES[name].score(importance_context(seeded_network()))
    assert all(torch.equal(first[group], second[group]) for group in first)


@pytest.mark.parametrize("name", IMPORTANCES)
def test_network_is_left_as_it_was(name: str) -> None:
    network = seeded_network()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    IMPORTANCES[name].score(importance_context(network))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert not any(parameter.grad is not None for parameter in network.parameters())
