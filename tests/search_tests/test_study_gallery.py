"""Galleries of studies: whom they show, by which selector, and that a report draws real networks once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.config import PruningConfig, load_config
from pruning_core.data import load_data
from pruning_core.stages import ArtifactStore, run_trial
from reports.gallery import ExplanationGallery
from reports.records import NetworkScores, StudyRecords, TrialRecord, TrialStatus
from search.studies import gallery as study_gallery
from search.studies.gallery import draw_gallery
from search.studies.gallery_plan import GalleryPlan, plan_gallery
from tests.reports_tests.synthetic import START, make_record, make_study, staircase, study_of


def steered(
    record: TrialRecord, agreement: float = 0.5, *, dense: str = "d", selector: str = "s"
) -> TrialRecord:
    assert record.scores is not None
    return record.model_copy(
        update={
            "scores": record.scores.model_copy(update={"selector_agreement": agreement}),
            "artifact_keys": {"dense": dense, "selector": selector, "fine_tune": f"{record.number}"},
        }
    )


def scored(record: TrialRecord, *, dense: str = "d") -> TrialRecord:
    return record.model_copy(update={"artifact_keys": {"dense": dense, "fine_tune": f"{record.number}"}})


def plan_of(records: list[TrialRecord], **options: int) -> GalleryPlan:
    plan = plan_gallery(study_of(records), **options)
    assert isinstance(plan, GalleryPlan)
    return plan


def test_networks_along_the_front_are_explained_by_the_best_selector_whatever_their_method() -> None:
    records = staircase(9)
    plan = plan_of(
        [scored(one) for one in records[:6]] + [steered(records[6], 0.7), *map(steered, records[7:])]
    )
    assert plan.explainer.number == 6
    assert [record.number for record in plan.networks] == [8, 5, 3, 0]
    assert plan.note == "5 further networks of the front are not shown."


def test_a_front_that_fits_is_shown_whole() -> None:
    plan = plan_of([steered(one) for one in staircase(3)])
    assert [record.number for record in plan.networks] == [2, 1, 0]
    assert plan.note == ""


def test_networks_of_another_dense_network_are_left_out() -> None:
    records = staircase(4)
    plan = plan_of([steered(records[0]), scored(records[1], dense="other"), *map(scored, records[2:])])
    assert [record.number for record in plan.networks] == [3, 2, 0]
    assert plan.note == "1 further network of the front is not shown."


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (make_study(0), "There is no network to explain yet."),
        (make_study(3, statuses=(TrialStatus.FAILED,)), "There is no network to explain yet."),
        (make_study(2, statuses=(TrialStatus.RUNNING,)), "There is no network to explain yet."),
        (study_of([scored(make_record(0))]), "no complete trial of this study trained one"),
    ],
)
def test_where_nothing_can_be_explained_a_sentence_says_why(study: StudyRecords, reason: str) -> None:
    plan = plan_gallery(study)
    assert isinstance(plan, str)
    assert reason in plan


def tiny_run(**changes: object) -> PruningConfig:
    return load_config(
        {
            "architecture": {"name": "cifar_resnet8", "width": 0.5},
            "dataset": {"train_images": 120, "test_images": 60},
            "dense_training": {"epochs": 1},
            "saliency": {"max_num_basis": 1, "predictor": {"epochs": 1}, "selector": {"epochs": 1}},
            "gates": {"steps": 2, "num_images": 64},
            "fine_tuning": {"epochs": 1},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[GalleryPlan, Path]:
    """A steered network and one by L1, with their artifacts."""
    folder = tmp_path_factory.mktemp("artifacts")
    configs = (tiny_run(budgets={"macs": 0.7}), tiny_run(budgets={"macs": 0.4}, method="l1"))
    records = tuple(run(number, config, folder) for number, config in enumerate(configs))
    return GalleryPlan(explainer=records[0], networks=records, note=""), folder


def run(number: int, config: PruningConfig, folder: Path) -> TrialRecord:
    result = run_trial(config, data=load_data(config.dataset), store=ArtifactStore(folder)).to_plain()
    return TrialRecord(
        study="tiny",
        number=number,
        trial_key=result["trial_key"],
        status=TrialStatus.COMPLETE,
        method=config.method.value,
        seed=0,
        config=config.model_dump(mode="json"),
        scores=NetworkScores(**{name: result[name] for name in NetworkScores.model_fields if name in result}),
        artifact_keys=dict(result["artifact_keys"]),
        finished_at=START,
    )


def test_real_networks_are_drawn_once_and_time_is_kept(
    finished: tuple[GalleryPlan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = finished
    late = draw_gallery(plan, folder, seconds=0.0, progress=lambda *_: None)
    assert isinstance(late, str)
    assert late.startswith("Trial 0 is not shown: the time for explanations was over.")
    told: list[tuple[int, int]] = []
    drawn = draw_gallery(plan, folder, seconds=600.0, progress=lambda *counts: told.append(counts))
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert isinstance(drawn, ExplanationGallery)
    check_gallery(drawn, plan)

    def refuse(*_: object) -> None:
        raise AssertionError("what was drawn must be found without loading data")

    monkeypatch.setattr(study_gallery, "load_data", refuse)
    assert draw_gallery(plan, folder, seconds=0.0, progress=lambda *_: None) == drawn


def check_gallery(drawn: ExplanationGallery, plan: GalleryPlan) -> None:
    scores = plan.explainer.scores
    assert scores is not None
    assert drawn.class_names == tuple("0123456789")
    assert (drawn.explainer, drawn.num_basis, drawn.note) == (0, 1, "")
    assert drawn.agreement == scores.selector_agreement
    assert drawn.num_images == scores.num_images
    assert sorted(drawn.labels) == list(range(10))
    first, second = drawn.networks
    assert first.similarity == pytest.approx(scores.explanation_similarity, rel=1e-4)
    assert 0 <= second.similarity <= 1
    weighted = [
        count * (share or 0.0)
        for count, share in zip(drawn.num_by_class, first.similarity_by_class, strict=True)
    ]
    assert sum(weighted) / drawn.num_images == pytest.approx(first.similarity)
    assert all(
        kept <= dense for kept, dense in zip(second.detectors_by_class, drawn.detectors_by_class, strict=True)
    )
    assert sum(second.detectors_by_class) < sum(drawn.detectors_by_class)


def test_networks_whose_artifacts_are_gone_are_left_out_with_the_reason(
    finished: tuple[GalleryPlan, Path],
) -> None:
    plan, folder = finished
    missing = run_config_that_never_ran(plan.networks[1])
    drawn = draw_gallery(
        GalleryPlan(explainer=plan.explainer, networks=(plan.networks[0], missing), note=""),
        folder,
        seconds=600.0,
        progress=lambda *_: None,
    )
    assert isinstance(drawn, ExplanationGallery)
    assert [network.number for network in drawn.networks] == [0]
    assert drawn.note.startswith("Trial 1 cannot be explained: stage 'allocate' must be finished first")


def run_config_that_never_ran(record: TrialRecord) -> TrialRecord:
    config = tiny_run(budgets={"macs": 0.5}, method="l1")
    keys = {**record.artifact_keys, "fine_tune": "0" * 16}
    return record.model_copy(update={"config": config.model_dump(mode="json"), "artifact_keys": keys})
