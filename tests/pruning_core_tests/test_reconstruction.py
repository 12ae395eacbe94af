"""Least-squares reconstruction: closed forms, numpy as an oracle, and errors that never rise."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.channels import ChannelSelection, remove_channels
from pruning_core.config import ImportanceConfig
from pruning_core.importance import ImportanceContext
from pruning_core.reconstruction import ResidualStatistics, consumers, reconstruct_consumers
from tests.pruning_core_tests.channel_networks import graph_of, network_named, random_selection
from tests.pruning_core_tests.importance_cases import (
    INNER,
    OUTER,
    class_images,
    importance_context,
    seeded_network,
)
from tests.synthetic import same_weights

KEPT = [0, 2, 3]
NO_RIDGE = 1e-12


def conv_rows() -> tuple[Tensor, Tensor, Tensor]:
    """Rows that a convolution reads, those of its kept input channels, and the convolution's outputs."""
    generator = torch.Generator().manual_seed(0)
    maps_NCHW = torch.randn(6, 4, 7, 7, generator=generator, dtype=torch.float64)
    maps_NCHW = maps_NCHW + 0.8 * maps_NCHW.roll(1, dims=1) + 0.5
    weight = torch.randn(5, 4, 3, 3, generator=generator, dtype=torch.float64)
    rows_NFL = F.unfold(maps_NCHW, 3, padding=1)
    kept_NFL = F.unfold(maps_NCHW[:, KEPT], 3, padding=1)
    rows_MF, kept_MK = (rows.transpose(1, 2).flatten(0, 1) for rows in (rows_NFL, kept_NFL))
    outputs_NDHW = F.conv2d(maps_NCHW, weight, padding=1)
    outputs_MD = outputs_NDHW.flatten(2).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(rows_MF @ weight.flatten(1).T, outputs_MD)
    return kept_MK, outputs_MD, weight[:, KEPT].flatten(1)


def statistics_of(rows_MK: Tensor, residual_MD: Tensor, *, num_parts: int = 1) -> ResidualStatistics:
    statistics = ResidualStatistics(rows_MK.shape[1], residual_MD.shape[1])
    for rows, residual in zip(rows_MK.chunk(num_parts), residual_MD.chunk(num_parts), strict=True):
        statistics.update(rows, residual)
    return statistics


def test_refitted_convolution_equals_numpy_s_least_squares() -> None:
    rows_MK, wanted_MD, weight_DK = conv_rows()
    correction = statistics_of(rows_MK, wanted_MD - rows_MK @ weight_DK.T).correction(
        centred=False, ridge=NO_RIDGE
    )
    expected_KD = np.linalg.lstsq(rows_MK.numpy(), wanted_MD.numpy(), rcond=None)[0]
    np.testing.assert_allclose((weight_DK + correction.weight_DK).T.numpy(), expected_KD, atol=1e-8)


def test_refitted_convolution_and_bias_equal_numpy_s_least_squares_with_an_intercept() -> None:
    rows_MK, wanted_MD, weight_DK = conv_rows()
    correction = statistics_of(rows_MK, wanted_MD - rows_MK @ weight_DK.T).correction(
        centred=True, ridge=NO_RIDGE
    )
    with_one = np.concatenate([rows_MK.numpy(), np.ones((len(rows_MK), 1))], axis=1)
    expected = np.linalg.lstsq(with_one, wanted_MD.numpy(), rcond=None)[0]
    np.testing.assert_allclose((weight_DK + correction.weight_DK).T.numpy(), expected[:-1], atol=1e-8)
    np.testing.assert_allclose(correction.bias_D.numpy(), expected[-1], atol=1e-8)


def test_from_dense_inputs_it_is_the_regression_of_the_second_moment() -> None:
    generator = torch.Generator().manual_seed(1)
    rows_MF = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    rows_MF[:, 1] += rows_MF[:, 4]
    weight_DF = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    moment_FF = rows_MF.T @ rows_MF / 200
    kept = [0, 2, 4]
    expected_DK = weight_DF @ moment_FF[:, kept] @ torch.linalg.inv(moment_FF[kept][:, kept])
    residual_MD = rows_MF @ weight_DF.T - rows_MF[:, kept] @ weight_DF[:, kept].T
    correction = statistics_of(rows_MF[:, kept], residual_MD).correction(centred=False, ridge=NO_RIDGE)
    torch.testing.assert_close(weight_DF[:, kept] + correction.weight_DK, expected_DK)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("centred", [True, False])
def test_the_error_is_what_it_says_and_never_rises(ridge: float, *, centred: bool) -> None:
    rows_MK, wanted_MD, weight_DK = conv_rows()
    residual_MD = wanted_MD - rows_MK @ weight_DK.T
    correction = statistics_of(rows_MK, residual_MD).correction(centred=centred, ridge=ridge)
    left_MD = residual_MD - rows_MK @ correction.weight_DK.T
    if centred:
        left_MD = left_MD - correction.bias_D
        residual_MD = residual_MD - residual_MD.mean(dim=0)
    assert correction.error_before == pytest.approx(float(residual_MD.square().sum(dim=1).mean()))
    assert correction.error_after == pytest.approx(float(left_MD.square().sum(dim=1).mean()))
    assert correction.error_after <= correction.error_before


def test_statistics_do_not_depend_on_how_rows_are_split() -> None:
    rows_MK, wanted_MD, _ = conv_rows()
    whole = statistics_of(rows_MK, wanted_MD).correction(centred=True)
    parts = statistics_of(rows_MK, wanted_MD, num_parts=7).correction(centred=True)
    torch.testing.assert_close(parts.weight_DK, whole.weight_DK)
    assert parts.error_after == pytest.approx(whole.error_after)


def test_inputs_that_are_always_zero_stand_in_for_nothing() -> None:
    correction = statistics_of(torch.zeros(9, 2), torch.ones(9, 3)).correction(centred=False)
    assert float(correction.weight_DK.abs().sum()) == 0
    assert correction.error_after == correction.error_before == pytest.approx(3)


# Whole networks


def context_of(name: str, *, num_images: int = 48) -> ImportanceContext:
    return ImportanceContext(
        network=network_named(name),
        graph=graph_of(name, "all"),
        data=class_images(num_images=num_images, size=32),
        settings=ImportanceConfig(num_images=num_images),
        seed=0,
    )


def test_a_removed_channel_with_a_twin_is_repaired() -> None:
    network = seeded_network()
    assert network.norm1.running_mean is not None
    assert network.norm1.running_var is not None
    with torch.no_grad():
        for values in (
            network.conv1.weight, network.norm1.weight, network.norm1.bias,
            network.norm1.running_mean, network.norm1.running_var,
        ):  # fmt: skip
            values[1] = values[2]
    context = importance_context(network)
    selection = ChannelSelection(kept={INNER: (0, 2, 3, 4, 5, 6, 7), OUTER: tuple(range(6))})
    slim = remove_channels(network, context.graph, selection)
    (layer,) = reconstruct_consumers(slim, context, selection)
    assert layer.layer == "conv2"
    assert layer.error_before is not None
    assert layer.error_after is not None
    assert layer.error_after < 1e-4 * layer.error_before
    expected = network.conv2.weight[:, [0, 2, 3, 4, 5, 6, 7]].clone()
    expected[:, 1] += network.conv2.weight[:, 1]
    torch.testing.assert_close(slim.get_parameter("conv2.weight"), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["cifar_resnet8", "flattened_maps", "concatenated", "grouped_convolution"])
def test_every_layer_that_lost_inputs_is_refitted_and_no_other(name: str) -> None:
    context = context_of(name)
    before = copy.deepcopy(context.network)
    selection = random_selection(context.graph, share=0.5)
    slim = remove_channels(context.network, context.graph, selection)
    removed = copy.deepcopy(slim)
    layers = reconstruct_consumers(slim, context, selection)
    lost = [
        layer
        for layer, module in slim.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
        and module.weight.shape[1] < before.get_submodule(layer).get_parameter("weight").shape[1]
    ]
    assert sorted(layer.layer for layer in layers) == sorted(lost)
    for layer in layers:
        assert layer.error_before is not None
        assert layer.error_after is not None
        assert layer.error_after < layer.error_before
    for key, values in slim.named_parameters():
        is_refitted = key.rpartition(".")[0] in lost
        assert torch.equal(values, removed.get_parameter(key)) != is_refitted
    assert same_weights(before, context.network)
    assert not any(module._forward_hooks for module in [*slim.modules(), *context.network.modules()])


def test_biases_take_up_constants() -> None:
    context = context_of("flattened_maps")
    selection = random_selection(context.graph, share=0.5)
    slim = remove_channels(context.network, context.graph, selection)
    reconstruct_consumers(slim, context, selection)
    data = context.data
    images_NCHW = data.normalisation.apply(data.train.read(torch.arange(len(data.train))))
    with torch.no_grad():
        wanted_C, got_C = (network(images_NCHW).mean(dim=0) for network in (context.network, slim))
    torch.testing.assert_close(got_C, wanted_C, atol=1e-4, rtol=0)


def test_a_layer_that_reads_too_much_is_left_alone_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MAX_INPUTS", 64)
    context = context_of("flattened_maps")
    selection = random_selection(context.graph, share=0.5)
    slim = remove_channels(context.network, context.graph, selection)
    layers = reconstruct_consumers(slim, context, selection)
    assert [(layer.layer, layer.error_after is None) for layer in layers] == [
        ("features.4", False), ("classifier.0", True), ("classifier.3", False),
    ]  # fmt: skip
