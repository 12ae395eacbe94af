"""Shape suffixes: N images, C channels, H and W height and width."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.errors import InvalidCheckpointError, UnsupportedNetworkError
from pruning_core.export.batch_norm_folding import find_foldable, fold_batch_norm, take_folded_form
from tests.pruning_core_tests.channel_networks import build_lively, images, network_named


class Mixed(nn.Module):
    """Five normalisations: two can be folded; one reads what another layer reads too, one runs twice, one has no layer
    before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, bias=False)
        self.folds = nn.BatchNorm2d(8)
        self.shared = nn.Conv2d(8, 8, 1)
        self.beside = nn.BatchNorm2d(8)
        self.again = nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 6)
        self.of_vector = nn.BatchNorm1d(6)
        self.twice = nn.Conv2d(8, 8, 1)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        x_NCHW = self.folds(self.first(images_NCHW)).relu()
        shared_NCHW = self.shared(x_NCHW)
        x_NCHW = self.beside(shared_NCHW) + shared_NCHW
        x_NCHW = self.again(self.twice(self.again(self.twice(x_NCHW)).relu()))
        logits_NC: Tensor = self.of_vector(self.last(x_NCHW.mean(dim=(2, 3))))
        return logits_NC


def test_what_one_layer_alone_feeds_once_is_folded_and_nothing_else() -> None:
    network = build_lively(Mixed)
    before = copy.deepcopy(network.state_dict())
    folded, layers = fold_batch_norm(network, images(3))
    assert layers == {"folds": "first", "of_vector": "last"}
    kept = {name for name, module in folded.named_modules() if isinstance(module, _BatchNorm)}
    assert kept == {"beside", "again"}
    with torch.no_grad():
        expected_NC = network(images(5))
        assert (folded(images(5)) - expected_NC).abs().max() <= 1e-5 * expected_NC.abs().max()
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_every_normalisation_of_a_residual_network_is_folded_and_its_weights_fit_the_folded_form() -> None:
    network = network_named("cifar_resnet8_zero_pad")
    folded, layers = fold_batch_norm(network, images(3))
    assert not any(isinstance(module, _BatchNorm) for module in folded.modules())
    assert len(layers) == sum(isinstance(module, _BatchNorm) for module in network.modules())
    form = take_folded_form(network, layers)
    form.load_state_dict(folded.state_dict())
    with torch.no_grad():
        assert torch.equal(form(images(3)), folded(images(3)))
    num_numbers = sum(values.numel() for values in folded.state_dict().values())
    assert num_numbers < sum(values.numel() for values in network.state_dict().values())


def test_a_network_with_nothing_to_fold_is_refused() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)).eval()
    assert find_foldable(plain, images(2)) == {}
    with pytest.raises(UnsupportedNetworkError, match="but it has none; export it without folding"):
        fold_batch_norm(plain, images(2))


def test_folded_layers_of_another_network_are_refused() -> None:
    network = network_named("cifar_resnet8_zero_pad")
    for layers in ({"bn1": "nowhere"}, {"nowhere": "conv1"}, {"bn1": "bn1"}):
        with pytest.raises(InvalidCheckpointError, match="must have a batch normalisation"):
            take_folded_form(network, layers)
