"""Distances between explanations in closed form; explaining with gates; agreement against a fixed blob."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.errors import InvalidSettingsError
from pruning_core.saliency import (
    RbfParameters,
    SaliencySelector,
    build_selector,
    dense_explanations,
    explain,
    explanation_distance,
    explanation_similarity,
    render_rbf_masks,
    selector_agreement,
)
from pruning_core.saliency.agreement import centred_width_of_area, draw_centred_blob
from tests.pruning_core_tests.saliency_cases import (
    NUM_CLASSES,
    QUICK,
    SIDE,
    classifier_of_patches,
    fingerprint,
    first_batch,
    patch_data,
)

SHAPE = (3, SIDE, SIDE)


def lively_selector(num_basis: int = 1) -> SaliencySelector:
    """Untrained, but different masks for different images."""
    settings = QUICK.model_copy(update={"num_basis": num_basis})
    selector = build_selector(classifier_of_patches(), settings, num_classes=NUM_CLASSES, input_shape=SHAPE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nn.init.normal_(selector.head.heat.weight)
        nn.init.normal_(selector.head.correction.weight, std=0.3)
    return selector.eval()


def random_raw(num_images: int, num_basis: int, seed: int = 0) -> Tensor:
    numbers = 3 if num_basis == 1 else 4
    return 3 * torch.randn(num_images, num_basis, numbers, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["normalised", "raw"])
@pytest.mark.parametrize("num_basis", [1, 2])
def test_distance_is_zero_for_equal_explanations_symmetric_and_positive_otherwise(
    num_basis: int, kind: str
) -> None:
    selector = lively_selector(num_basis)
    a, b = random_raw(20, num_basis), random_raw(20, num_basis, seed=1)
    assert (explanation_distance(a, a, selector, kind) == 0).all()
    forwards = explanation_distance(a, b, selector, kind)
    assert (forwards > 0).all()
    assert forwards.shape == (20,)
    torch.testing.assert_close(forwards, explanation_distance(b, a, selector, kind))


def test_distance_of_one_bump_is_squared_move_plus_squared_log_width_change() -> None:
    selector = lively_selector()
    a = torch.tensor([[[2.0, -1.0, 10.0]]], dtype=torch.float64)
    b = torch.tensor([[[5.0, 4.0, 5.0]]], dtype=torch.float64)

    def place(u: float) -> float:
        return 14 * math.tanh(u / 14) / 32

    expected = (place(2) - place(5)) ** 2 + (place(-1) - place(4)) ** 2
    expected += (math.log(math.log1p(math.exp(10)) + 1e-8) - math.log(math.log1p(math.exp(5)) + 1e-8)) ** 2
    assert explanation_distance(a, b, selector).item() == pytest.approx(expected, rel=1e-9)


def test_distance_of_a_stretched_bump_is_that_of_the_logarithms_of_covariances() -> None:
    selector = lively_selector()
    a = torch.tensor([[[2.0, -1.0, 10.0, 2.0, -3.0]]], dtype=torch.float64)
    b = torch.tensor([[[2.0, -1.0, 6.0, 0.5, 4.0]]], dtype=torch.float64)

    def log_covariance(raw: torch.Tensor) -> torch.Tensor:
        rbf = selector.to_rbf(raw)
        assert rbf.stretches_NK2 is not None
        (p, q), width = rbf.stretches_NK2[0, 0].tolist(), rbf.widths_NK.item()
        tilt = torch.tensor([[p, q], [q, -p]], dtype=torch.float64)
        return 2 * math.log(width) * torch.eye(2, dtype=torch.float64) + tilt

    expected = (log_covariance(a) - log_covariance(b)).square().sum().item() / 8
    assert explanation_distance(a, b, selector).item() == pytest.approx(expected, rel=1e-9)


def test_distance_of_several_bumps_is_weighted_by_amplitude() -> None:
    selector = lively_selector(2)
    a = torch.tensor([[[2.0, -1.0, 10.0, 30.0], [0.0, 0.0, 6.0, -0.5]]], dtype=torch.float64)
    b = torch.tensor([[[5.0, 4.0, 5.0, 30.0], [3.0, 0.0, 7.0, 0.4]]], dtype=torch.float64)
    rbf_a, rbf_b = selector.to_rbf(a), selector.to_rbf(b)
    expected, total = 0.0, (rbf_a.amplitudes_NK + rbf_b.amplitudes_NK).sum().item()
    for slot in range(2):
        amplitude_a, amplitude_b = rbf_a.amplitudes_NK[0, slot].item(), rbf_b.amplitudes_NK[0, slot].item()
        move = (rbf_a.centres_NK2[0, slot] - rbf_b.centres_NK2[0, slot]).square().sum().item()
        growth = math.log(rbf_a.widths_NK[0, slot].item() / rbf_b.widths_NK[0, slot].item()) ** 2
        expected += (amplitude_a + amplitude_b) / total * (move + growth) + (
            amplitude_a - amplitude_b
        ) ** 2 / 2
    assert explanation_distance(a, b, selector).item() == pytest.approx(expected, rel=1e-9)


def test_a_dead_bump_does_not_count_wherever_it_is() -> None:
    selector = lively_selector(2)
    a = torch.tensor([[[2.0, -1.0, 10.0, 5.0], [9.0, 9.0, 1.0, -90.0]]])
    b = torch.tensor([[[2.0, -1.0, 10.0, 5.0], [-9.0, 0.0, 20.0, -90.0]]])
    assert explanation_distance(a, b, selector).item() == pytest.approx(0, abs=1e-6)
    assert explanation_distance(a, b, selector, "raw").item() > 10


def test_a_bump_cannot_hide_its_move_by_fading() -> None:
    """The gradient for the amplitudes pulls towards equal amplitudes alone."""
    selector = lively_selector(2)
    a = torch.tensor([[[0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 0.0]]])
    b = torch.tensor([[[0.0, 0.0, 10.0, 5.0], [9.0, 9.0, 10.0, 0.0]]], requires_grad=True)
    torch.autograd.backward(explanation_distance(a, b, selector).sum())
    assert b.grad is not None
    assert b.grad[..., 3].abs().max() == 0
    assert b.grad[0, 1, :2].min() > 0


def test_raw_distance_is_the_mean_squared_difference() -> None:
    selector, a, b = lively_selector(2), random_raw(7, 2), random_raw(7, 2, seed=1)
    expected = ((a - b) ** 2).reshape(7, -1).mean(dim=1)
    torch.testing.assert_close(explanation_distance(a, b, selector, "raw"), expected)


def test_gradients_of_the_distance_are_finite_at_extremes() -> None:
    selector = lively_selector(2)
    a = random_raw(4, 2)
    b = torch.full((4, 2, 4), -1e4, requires_grad=True)
    torch.autograd.backward(explanation_distance(a, b, selector).sum())
    assert b.grad is not None
    assert b.grad.isfinite().all()


def test_an_unknown_distance_is_refused_with_the_known_ones() -> None:
    raw = random_raw(1, 1)
    with pytest.raises(InvalidSettingsError, match=r"'iou'\. Known distances: normalised, raw"):
        explanation_distance(raw, raw, lively_selector(), "iou")


def bumps(centre: float, width: float) -> RbfParameters:
    return RbfParameters(
        centres_NK2=torch.full((1, 1, 2), centre),
        widths_NK=torch.full((1, 1), width),
        amplitudes_NK=torch.ones(1, 1),
    )


def test_similarity_is_one_for_equal_masks_and_zero_for_disjoint_ones() -> None:
    size = (64, 64)
    assert explanation_similarity(bumps(0.5, 0.1), bumps(0.5, 0.1), size).item() == 1
    assert explanation_similarity(bumps(0.1, 0.02), bumps(0.9, 0.02), size).item() == pytest.approx(
        0, abs=1e-6
    )
    assert explanation_similarity(bumps(0.501, 1e-9), bumps(0.502, 1e-9), size).item() == 1


def test_similarity_of_nested_masks_is_their_ratio_of_areas() -> None:
    size = (64, 64)
    narrow, wide = bumps(0.5, 0.05), bumps(0.5, 0.1)
    expected = render_rbf_masks(narrow, size).sum() / render_rbf_masks(wide, size).sum()
    assert explanation_similarity(narrow, wide, size).item() == pytest.approx(expected.item())
    assert expected.item() == pytest.approx(0.25, abs=0.01)


def test_an_image_is_explained_for_its_predicted_class_unless_told_otherwise() -> None:
    dense, selector, images = classifier_of_patches(), lively_selector(), first_batch(patch_data())
    told = explain(dense, selector, images, dense(images).argmax(dim=1))
    itself = explain(dense, selector, images)
    other = explain(dense, selector, images, (dense(images).argmax(dim=1) + 1) % NUM_CLASSES)
    assert torch.equal(itself.raw_NKP, told.raw_NKP)
    assert torch.equal(itself.logits_NC, dense(images))
    assert not torch.allclose(itself.raw_NKP, other.raw_NKP)


def test_open_gates_change_nothing_and_closed_ones_pull_the_explanation_back() -> None:
    """Gates on the first stage: its consumer's weights, and the tapped map itself, see them."""
    dense, selector, images = classifier_of_patches(), lively_selector(), first_batch(patch_data())
    target = explain(dense, selector, images)
    weight = dense.get_parameter("stage2.0.weight")

    def gated(gates_C: Tensor) -> Tensor:
        overrides = {"stage2.0.weight": weight * gates_C.view(1, -1, 1, 1)}
        explanation = explain(
            dense,
            selector,
            images,
            target.logits_NC.argmax(dim=1),
            forward=lambda images_NCHW: functional_call(dense, overrides, (images_NCHW,)),
            see_map=lambda layer, tapped: tapped * gates_C.view(1, -1, 1, 1) if layer == "stage1" else tapped,
        )
        return explanation_distance(explanation.raw_NKP, target.raw_NKP.detach(), selector)

    assert (gated(torch.ones(12)) == 0).all()
    half = torch.full((12,), 0.5, requires_grad=True)
    distance = gated(half).mean()
    torch.autograd.backward(distance)
    assert distance > 0
    assert half.grad is not None
    assert half.grad.abs().max() > 0


def test_dense_explanations_come_in_the_order_of_the_images_whatever_the_batch_size() -> None:
    dense, selector, data = classifier_of_patches(), lively_selector(), patch_data()
    before = fingerprint(dense), fingerprint(selector)
    all_at_once = dense_explanations(dense, selector, data.train, data.normalisation, batch_size=96)
    in_parts = dense_explanations(dense, selector, data.train, data.normalisation, batch_size=7)
    torch.testing.assert_close(in_parts.raw_NKP, all_at_once.raw_NKP, atol=1e-4, rtol=1e-4)
    assert torch.equal(in_parts.classes_N, all_at_once.classes_N)
    assert torch.equal(all_at_once.classes_N, all_at_once.logits_NC.argmax(dim=1))
    assert not all_at_once.raw_NKP.requires_grad
    expected = explain(dense, selector, first_batch(data, 5))
    torch.testing.assert_close(all_at_once.raw_NKP[:5], expected.raw_NKP, atol=1e-4, rtol=1e-4)
    assert (fingerprint(dense), fingerprint(selector)) == before


def test_other_images_explanations_are_farther_away_than_ones_own() -> None:
    dense, selector, data = classifier_of_patches(), lively_selector(), patch_data()
    raw = dense_explanations(dense, selector, data.train, data.normalisation).raw_NKP
    noisy = first_batch(data, 96) + 0.05 * torch.randn(96, *SHAPE, generator=torch.Generator().manual_seed(0))
    again = explain(dense, selector, noisy).raw_NKP
    own = explanation_distance(again, raw, selector).mean()
    shuffled = explanation_distance(again, raw.roll(1, dims=0), selector).mean()
    assert own < 0.5 * shuffled


@pytest.mark.parametrize("size", [(32, 32), (20, 30)])
@pytest.mark.parametrize("area", [0.05, 0.3, 0.9])
def test_the_centred_blob_has_the_area_asked_for_and_is_symmetric(area: float, size: tuple[int, int]) -> None:
    blob = draw_centred_blob(centred_width_of_area(area, size), size)
    assert blob.mean().item() == pytest.approx(area, rel=1e-4)
    torch.testing.assert_close(blob, blob.flip(0))
    torch.testing.assert_close(blob, blob.flip(1))


def test_agreement_counts_images_and_the_blob_has_the_same_area() -> None:
    dense, selector, data = classifier_of_patches(), lively_selector(), patch_data()
    result = selector_agreement(dense, dense, selector, data.validation, data.normalisation, batch_size=16)
    explained = dense_explanations(dense, selector, data.validation, data.normalisation)
    masks_NHW = selector.draw(explained.raw_NKP, (SIDE, SIDE))
    images = data.normalisation.apply(data.validation.read(torch.arange(60)))
    with torch.no_grad():
        agrees = dense(images * masks_NHW.unsqueeze(1)).argmax(dim=1) == explained.classes_N
        blob = draw_centred_blob(result.blob_width, (SIDE, SIDE))
        blob_agrees = dense(images * blob).argmax(dim=1) == explained.classes_N
    assert result.selector.agreement == pytest.approx(agrees.float().mean().item(), abs=1 / 60 + 1e-9)
    assert result.blob.agreement == pytest.approx(blob_agrees.float().mean().item(), abs=1 / 60 + 1e-9)
    assert result.selector.mean_area == pytest.approx(masks_NHW.mean().item(), rel=1e-4)
    assert result.blob.mean_area == pytest.approx(result.selector.mean_area, rel=1e-3)


def test_full_masks_and_the_dense_network_itself_always_agree() -> None:
    dense, selector, data = classifier_of_patches(), lively_selector(), patch_data()
    with torch.no_grad():
        selector.head.heat.weight.zero_()
        selector.head.correction.weight.zero_()
        selector.head.initial_raw_KP[0, 2] = 1e6
    result = selector_agreement(dense, dense, selector, data.validation, data.normalisation)
    assert result.selector.agreement == 1
    assert result.blob.agreement == 1
    assert result.selector.mean_area == pytest.approx(1)
