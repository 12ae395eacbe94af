"""Galleries: what is shown, how alike explanations are, and that a gallery is drawn once.

Shape suffixes used in this file:
    S  images shown
    H, W  height and width of what is drawn
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from pruning_core.channels.structures import ChannelSelection
from pruning_core.config import ImportanceConfig, MethodName
from pruning_core.data import DataSplits, ImageTensor
from pruning_core.errors import InvalidSettingsError, StorageError, UnsupportedNetworkError
from pruning_core.gallery import DenseGallery, GallerySettings, draw_dense, draw_slim
from pruning_core.gallery.drawing import _shrink
from pruning_core.importance import coverage_facts, measure_class_profiles
from pruning_core.saliency import SaliencySelector, build_selector
from pruning_core.stages import (
    ArtifactStore,
    RunResult,
    explanation_gallery,
    find_gallery,
    gallery_of_run,
    run_stage,
    run_trial,
)
from pruning_core.stages.finished_run import finished_context
from pruning_core.stages.importance import importance_subject, load_rating
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

SETTINGS = GallerySettings(num_shown=5, num_measured=30, longest_side=24)


def lively_selector() -> SaliencySelector:
    """Untrained, but different masks for different images."""
    selector = build_selector(
        classifier_of_patches(), QUICK, num_classes=NUM_CLASSES, input_shape=(3, SIDE, SIDE)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.nn.init.normal_(selector.head.heat.weight)
        torch.nn.init.normal_(selector.head.correction.weight, std=0.3)
    return selector.eval()


@pytest.fixture(scope="module")
def dense() -> DenseGallery:
    data = patch_data()
    return draw_dense(
        classifier_of_patches(), lively_selector(), data.validation, data.normalisation, SETTINGS
    )


def test_a_gallery_shows_every_class_and_draws_masks_finer_than_small_images(dense: DenseGallery) -> None:
    assert len(dense.labels_N) == 30
    assert sorted(dense.labels_N[dense.shown_S].tolist()) == [0, 0, 1, 1, 2]
    assert dense.pixels_SCHW.shape == (5, 3, SIDE, SIDE)
    assert dense.masks_SHW.shape == (5, 24, 24)
    assert dense.masks_SHW.dtype == dense.pixels_SCHW.dtype == torch.uint8
    assert len({mask_HW.numpy().tobytes() for mask_HW in dense.masks_SHW}) == 5


def test_a_network_looks_where_it_looks_itself(dense: DenseGallery) -> None:
    data, network, selector = patch_data(), classifier_of_patches(), lively_selector()
    before = fingerprint(network), fingerprint(selector)
    slim = draw_slim(network, selector, data.validation, data.normalisation, SETTINGS, dense)
    assert torch.equal(slim.similarity_N, torch.ones(30))
    assert torch.equal(slim.masks_SHW, dense.masks_SHW)
    assert torch.equal(slim.classes_N, dense.classes_N)
    assert (fingerprint(network), fingerprint(selector)) == before


def test_another_network_looks_elsewhere(dense: DenseGallery) -> None:
    data = patch_data()
    slim = draw_slim(
        TinyNetwork(seed=1), lively_selector(), data.validation, data.normalisation, SETTINGS, dense
    )
    assert ((slim.similarity_N >= 0) & (slim.similarity_N < 1)).all()
    assert not torch.equal(slim.masks_SHW, dense.masks_SHW)


def test_the_seed_alone_decides_what_is_shown() -> None:
    data = patch_data()

    def shown(seed: int) -> torch.Tensor:
        settings = GallerySettings(num_shown=5, num_measured=30, seed=seed)
        return draw_dense(
            classifier_of_patches(), lively_selector(), data.validation, data.normalisation, settings
        ).pixels_SCHW

    assert torch.equal(shown(0), shown(0))
    assert not torch.equal(shown(0), shown(1))


def test_few_images_are_all_shown_and_measured() -> None:
    data = patch_data()
    few = ImageTensor(images_NCHW=data.validation.read(torch.arange(4)), labels_N=torch.tensor([0, 1, 2, 0]))
    gallery = draw_dense(classifier_of_patches(), lively_selector(), few, data.normalisation, SETTINGS)
    assert len(gallery.labels_N) == len(gallery.shown_S) == 4


def test_large_images_are_averaged_down_and_odd_channels_become_grey() -> None:
    pixels_SCHW = torch.arange(4, dtype=torch.uint8).repeat_interleave(2).view(1, 1, 1, 8).expand(1, 2, 4, 8)
    shrunk_SCHW = _shrink(pixels_SCHW, longest_side=4)
    assert shrunk_SCHW.tolist() == [[[[0, 1, 2, 3], [0, 1, 2, 3]]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_shown": 0}, "num_shown must be positive, but got 0"),
        ({"longest_side": -1}, "longest_side must be positive, but got -1"),
        ({"num_shown": 9, "num_measured": 5}, "num_shown <= num_measured must hold, but got 9 and 5"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidSettingsError, match=message):
        GallerySettings(**settings)


STEERED = tiny_run(MethodName.INTERPRETATION_STEERED)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def steered(store: ArtifactStore, tiny_data: DataSplits) -> RunResult:
    return run_trial(STEERED, data=tiny_data, store=store)


def test_a_steered_run_is_as_alike_as_it_recorded(
    steered: RunResult, store: ArtifactStore, tiny_data: DataSplits
) -> None:
    gallery = gallery_of_run(STEERED, STEERED, data=tiny_data, store=store)
    assert gallery.class_names == tiny_data.class_names
    assert len(gallery.slim.similarity_N) == len(tiny_data.validation)
    assert gallery.slim.similarity_N.mean().item() == pytest.approx(steered.explanation_similarity, rel=1e-4)


def test_a_gallery_is_drawn_once_and_found_by_the_keys_of_a_record(
    steered: RunResult, store: ArtifactStore, tiny_data: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = gallery_of_run(STEERED, STEERED, data=tiny_data, store=store)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing must be drawn twice")

    monkeypatch.setattr(explanation_gallery, "draw_dense", refuse)
    monkeypatch.setattr(explanation_gallery, "draw_slim", refuse)
    again = gallery_of_run(STEERED, STEERED, data=tiny_data, store=store)
    found = find_gallery(store, steered.artifact_keys, steered.artifact_keys)
    assert found is not None
    for other in (again, found):
        assert other.detectors == drawn.detectors
        assert other.class_names == drawn.class_names
        for one, part in ((drawn.dense, other.dense), (drawn.slim, other.slim)):
            assert all(
                torch.equal(getattr(one, field.name), getattr(part, field.name)) for field in fields(one)
            )
    assert find_gallery(store, steered.artifact_keys, steered.artifact_keys, SETTINGS) is None


@pytest.mark.parametrize("method", [MethodName.L1, MethodName.TASK_INSPIRED])
def test_runs_of_other_methods_are_explained_by_a_steered_runs_selector(
    method: MethodName, steered: RunResult, store: ArtifactStore, tiny_data: DataSplits
) -> None:
    config = tiny_run(method)
    assert (
        run_trial(config, data=tiny_data, store=store).artifact_keys["dense"]
        == steered.artifact_keys["dense"]
    )
    gallery = gallery_of_run(config, STEERED, data=tiny_data, store=store)
    of_steered = gallery_of_run(STEERED, STEERED, data=tiny_data, store=store)
    assert torch.equal(gallery.dense.masks_SHW, of_steered.dense.masks_SHW)
    assert 0 < gallery.slim.similarity_N.mean() < 1
    for counts in gallery.detectors.values():
        assert all(kept <= before for before, kept in zip(counts.dense, counts.kept, strict=True))
    if method is not MethodName.TASK_INSPIRED:
        return
    context = finished_context(config, data=tiny_data, store=store)
    selection = ChannelSelection.from_plain(context.artifact("allocate").facts["kept"])
    recorded = coverage_facts(load_rating(context).profiles, selection, tiny_data.class_names)
    lost = {group: counts.lost for group, counts in gallery.detectors.items() if counts.lost}
    names = {group: [tiny_data.class_names[label] for label in labels] for group, labels in lost.items()}
    assert names == recorded["lost_by_group"]


def test_profiles_measured_alone_are_those_of_the_importance(
    store: ArtifactStore, tiny_data: DataSplits
) -> None:
    config = tiny_run(MethodName.TASK_INSPIRED)
    run_stage("dense", config, data=tiny_data, store=store)
    run_stage("importance", config, data=tiny_data, store=store)
    context = finished_context(config, data=tiny_data, store=store)
    rated = load_rating(context).profiles
    alone = measure_class_profiles(importance_subject(context))
    assert rated.keys() == alone.keys()
    for group, profile in alone.items():
        assert torch.equal(profile.mean_CK, rated[group].mean_CK)
        assert torch.equal(profile.share_CK, rated[group].share_CK)


@pytest.mark.usefixtures("steered")
def test_a_network_whose_readers_are_unknown_has_maps_and_no_detectors(
    store: ArtifactStore, tiny_data: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: object) -> None:
        raise UnsupportedNetworkError("a consumer runs twice")

    monkeypatch.setattr(explanation_gallery, "measure_class_profiles", unreadable)
    fewer = STEERED.model_copy(update={"importance": ImportanceConfig(num_images=32)})  # not measured before
    gallery = gallery_of_run(fewer, STEERED, SETTINGS, data=tiny_data, store=store)
    assert gallery.detectors == {}
    assert len(gallery.slim.masks_SHW) == 5


def test_a_run_that_is_not_finished_has_no_gallery(tiny_data: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="must be finished first"):
        gallery_of_run(STEERED, STEERED, data=tiny_data, store=ArtifactStore(tmp_path))
