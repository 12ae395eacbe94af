"""Fidelity of explanations: a network keeps its own exactly, another one keeps less, and runs are measured as built."""

from __future__ import annotations

import copy
from dataclasses import asdict

import pytest
import torch
from torch import nn

from pruning_core.channels.structures import ChannelSelection
from pruning_core.channels.weight_gates import kept_map_positions
from pruning_core.config import MethodName, PruningConfig
from pruning_core.data import DataSplits, take
from pruning_core.errors import InvalidDataError, InvalidSettingsError
from pruning_core.fidelity import (
    ATTRIBUTIONS,
    MASK,
    DenseReference,
    Fidelity,
    FidelitySettings,
    measure_fidelity,
    study_dense,
)
from pruning_core.fidelity.measuring import _other_images
from pruning_core.saliency import SaliencySelector, build_selector, explain
from pruning_core.stages import ArtifactStore, fidelity_of_run, run_stage, run_trial, study_dense_of_run
from pruning_core.stages.dense import load_dense
from pruning_core.stages.explanation_scores import at_dense_width, explanations_kept
from pruning_core.stages.finished_run import finished_context
from pruning_core.stages.recovery import channel_graph, load_fine_tuned, selection_stage
from tests.pruning_core_tests.saliency_cases import (
    NUM_CLASSES,
    QUICK,
    SIDE,
    TinyNetwork,
    classifier_of_patches,
    fingerprint,
    patch_data,
)
from tests.pruning_core_tests.tiny_runs import tiny_run

pytest.importorskip("captum", reason="captum is an optional extra: pip install 'prunefront[captum]'")
SETTINGS = FidelitySettings(curve_steps=2, gradient_steps=4, batch_size=32)


def lively_selector() -> SaliencySelector:
    """Untrained, but different masks for different images."""
    selector = build_selector(
        classifier_of_patches(), QUICK, num_classes=NUM_CLASSES, input_shape=(3, SIDE, SIDE)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nn.init.normal_(selector.head.heat.weight)
        nn.init.normal_(selector.head.correction.weight, std=0.3)
    return selector.eval()


def reference_of(num_images: int = 40) -> DenseReference:
    data = patch_data()
    images = take(data.validation, torch.arange(num_images))
    return study_dense(classifier_of_patches(), lively_selector(), images, data.normalisation, SETTINGS)


@pytest.fixture(scope="module")
def reference() -> DenseReference:
    return reference_of()


@pytest.fixture(scope="module")
def of_itself(reference: DenseReference) -> Fidelity:
    return measure_fidelity(reference, classifier_of_patches())


def test_a_network_keeps_its_own_explanations_exactly(of_itself: Fidelity) -> None:
    assert of_itself.num_images == 40
    assert of_itself.same_class == 1
    assert of_itself.mask_overlap.value == 1
    assert of_itself.mask_distance.value == 0
    assert set(of_itself.rank_correlation) == {MASK, *ATTRIBUTIONS} == set(of_itself.curves)
    assert all(kept.value == 1 for kept in of_itself.rank_correlation.values())
    assert all(seen.dense == seen.slim for seen in of_itself.mask_seen.values())
    for curves in of_itself.curves.values():
        assert curves.dense == curves.slim == curves.dense_on_slim


def test_the_explanation_of_another_image_agrees_less_and_explains_worse(of_itself: Fidelity) -> None:
    assert of_itself.mask_overlap.chance < 1
    assert of_itself.mask_distance.chance > 0
    assert all(abs(kept.chance) < 0.9 for kept in of_itself.rank_correlation.values())
    assert all(seen.slim.chance != seen.slim.value for seen in of_itself.mask_seen.values())
    for kind in ATTRIBUTIONS:
        curves = of_itself.curves[kind]
        assert curves.chance.deletion > curves.slim.deletion
        assert curves.chance.insertion < curves.slim.insertion


def test_a_network_nearer_to_the_dense_one_keeps_more(reference: DenseReference) -> None:
    def disturbed(strength: float) -> nn.Module:
        network, noise = copy.deepcopy(classifier_of_patches()), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(
                    torch.randn(weight.shape, generator=noise), alpha=strength * float(weight.abs().mean())
                )
        return network

    near, far, foreign = (
        measure_fidelity(reference, network)
        for network in (disturbed(0.1), disturbed(1.0), TinyNetwork(seed=1))
    )
    for network in (near, far, foreign):
        assert network.mask_overlap.value < 1
    assert near.mask_overlap.value > far.mask_overlap.value
    assert near.mask_distance.value < far.mask_distance.value
    for kind in ATTRIBUTIONS:
        assert near.rank_correlation[kind].value > far.rank_correlation[kind].value
        assert near.rank_correlation[kind].value > foreign.rank_correlation[kind].value


def test_measuring_changes_neither_network_nor_selector_and_gives_the_same_again(of_itself: Fidelity) -> None:
    dense, selector, slim = classifier_of_patches(), lively_selector(), TinyNetwork(seed=1)
    before = [fingerprint(network) for network in (dense, selector, slim)]
    data = patch_data()
    again = study_dense(
        dense, selector, take(data.validation, torch.arange(40)), data.normalisation, SETTINGS
    )
    measure_fidelity(again, slim)
    assert [fingerprint(network) for network in (dense, selector, slim)] == before
    assert slim.training
    assert asdict(measure_fidelity(again, dense)) == asdict(of_itself)


@pytest.mark.parametrize("num_images", [2, 3, 50])
def test_chance_is_measured_on_each_other_image_once(num_images: int) -> None:
    other = _other_images(num_images, seed=num_images)
    assert sorted(other.tolist()) == list(range(num_images))
    assert (other != torch.arange(num_images)).all()


def test_one_image_has_no_other_to_give_the_chance_level() -> None:
    with pytest.raises(InvalidDataError, match=r"at least 2 images, .* but got 1"):
        reference_of(num_images=1)


@pytest.mark.parametrize("name", ["curve_steps", "gradient_steps", "blur_width", "batch_size"])
def test_settings_must_be_positive(name: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"{name} must be positive, but got 0"):
        FidelitySettings(**{name: 0})


def test_runs_with_and_without_explanations_are_measured_by_one_selector(
    tiny_data: DataSplits, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also where channels of the maps are gone that the selector reads."""
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    steered, scored = tiny_run(MethodName.INTERPRETATION_STEERED), tiny_run(MethodName.L1)
    for stage in ("dense", "predictor", "selector"):
        run_stage(stage, steered, data=tiny_data, store=store)
    reference = study_dense_of_run(steered, tiny_data.validation, SETTINGS, data=tiny_data, store=store)
    for config in (steered, scored):
        result = run_trial(config, data=tiny_data, store=store)
        found = fidelity_of_run(config, reference, data=tiny_data, store=store)
        kept = overlap_as_runs_measure_it(config, reference, tiny_data, store)
        assert found.num_images == len(tiny_data.validation)
        assert (found.mask_overlap.value, found.mask_distance.value) == pytest.approx(kept, rel=1e-4)
        if config is steered:
            recorded = result.explanation_similarity, result.explanation_distance
            assert recorded == pytest.approx(kept, rel=1e-4), "runs must measure the network that they keep"
        assert found.mask_overlap.value < 1
        assert found.curves[MASK].dense == reference.areas[MASK]


def overlap_as_runs_measure_it(
    config: PruningConfig, reference: DenseReference, data: DataSplits, store: ArtifactStore
) -> tuple[float, float]:
    context, selector = finished_context(config, data=data, store=store), reference.subject.selector
    dense, slim = load_dense(context), load_fine_tuned(context)
    graph = channel_graph(context, dense, selector)
    selection = ChannelSelection.from_plain(context.artifact(selection_stage(context)).facts["kept"])
    widths = {
        tap.layer: len(kept_map_positions(tap.layer, tap.num_channels, graph, selection))
        for tap in selector.taps
    }
    assert any(widths[tap.layer] < tap.num_channels for tap in selector.taps)
    see_map = at_dense_width(selector, graph, selection)
    kept = explanations_kept(
        context,
        dense,
        selector,
        lambda images_NCHW, classes_N: (
            explain(slim, selector, images_NCHW, classes_N, see_map=see_map).raw_NKP
        ),
    )
    return kept.similarity, kept.distance
