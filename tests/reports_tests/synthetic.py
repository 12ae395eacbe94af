"""Made-up studies with the figures of a CIFAR ResNet-20: costs are exact, accuracies a smooth law plus noise."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from random import Random

from pruning_core.config import PruningConfig
from reports.fronts import find_front
from reports.gallery import ExplanationGallery, GalleryNetwork, Pixels
from reports.objectives import Direction
from reports.records import NetworkScores, RungScores, Scalar, StudyRecords, TrialRecord, TrialStatus

START = 1_790_000_000.0
NUM_IMAGES = 5000
DENSE_CORRECT = 4612
STAGES = ("dense", "predictor", "selector", "gates", "removal", "fine_tuning", "evaluation")
_CONFIG = PruningConfig().model_dump(mode="json")

# group -> (channels, side of its maps, channels before it, channels after it)
GROUPS = {
    f"layer{stage}.{block}.conv1": (
        8 * 2**stage,
        64 // 2**stage,
        8 * 2 ** (stage - 1) if stage > 1 and block == 0 else 8 * 2**stage,
        8 * 2**stage,
    )
    for stage in (1, 2, 3)
    for block in (0, 1, 2)
}
_FIXED_MACS = 9 * 3 * 16 * 32**2 + 16 * 32 * 16**2 + 32 * 64 * 8**2 + 64 * 10
_FIXED_PARAMS = 9 * 3 * 16 + 16 * 32 + 32 * 64 + 650 + 2 * (16 + 3 * 16 + 3 * 32 + 3 * 64 + 32 + 64)


def resnet20_cost(widths: Mapping[str, int]) -> tuple[int, int]:
    """MACs and params of a ResNet-20 (projection shortcuts) whose inner widths are given."""
    macs, params = _FIXED_MACS, _FIXED_PARAMS
    for group, (_, side, before, after) in GROUPS.items():
        kept = widths[group]
        macs += 9 * kept * (before + after) * side**2
        params += 9 * kept * (before + after) + 2 * kept
    return macs, params


DENSE_MACS, DENSE_PARAMS = resnet20_cost({group: total for group, (total, *_) in GROUPS.items()})


def make_scores(widths: Mapping[str, int], random: Random, *, skill: float = 1.0) -> NetworkScores:
    """Score a network: accuracy rises with MACs and params; ``skill`` scales what pruning loses."""
    macs, params = resnet20_cost(widths)
    lost = 1 - (0.7 * macs / DENSE_MACS + 0.3 * params / DENSE_PARAMS)
    accuracy = DENSE_CORRECT / NUM_IMAGES - skill * 0.16 * lost**2.4 - abs(random.gauss(0, 0.004))
    after_removal = accuracy - 0.75 * lost * random.uniform(0.6, 1.0)
    return NetworkScores(
        num_images=NUM_IMAGES,
        num_correct_dense=DENSE_CORRECT,
        num_correct_after_removal=round(max(after_removal, 0.1) * NUM_IMAGES),
        num_correct_fine_tuned=round(accuracy * NUM_IMAGES),
        macs=macs,
        params=params,
        dense_macs=DENSE_MACS,
        dense_params=DENSE_PARAMS,
        explanation_similarity=max(0.0, min(1.0, 0.97 - 0.45 * lost * random.uniform(0.7, 1.3))),
        explanation_distance=0.02 + 0.3 * lost * random.uniform(0.7, 1.3),
        mask_area=0.31,
        selector_agreement=0.88,
    )


def make_record(number: int, *, seed: int = 0, status: TrialStatus = TrialStatus.COMPLETE) -> TrialRecord:
    """Make one trial; the same number and seed give the same trial."""
    random = Random(f"{seed}/{number}")
    share = random.uniform(0.15, 0.95)
    step = {16: 2, 32: 4, 64: 8}
    widths = {
        group: max(
            step[total],
            round(total * min(1.0, share * random.uniform(0.75, 1.25)) / step[total]) * step[total],
        )
        for group, (total, *_) in GROUPS.items()
    }
    varied: dict[str, Scalar] = {
        "method": random.choice(["interpretation_steered"] * 3 + ["l1"]),
        "budgets.macs": round(random.uniform(0.35, 0.8), 3),
        "saliency.num_basis": random.choice([1, 2, 4]),
        "loss_weights.steering": 10 ** random.uniform(-2, 1),
    }
    steered = varied["method"] == "interpretation_steered"
    scores = make_scores(widths, random, skill=1.0 if steered else 1.5)
    has_scores = status is TrialStatus.COMPLETE
    started = START + 95.0 * number
    stages = STAGES if number == 0 else STAGES[2 if number < 3 else 3 :]
    spent = (
        {stage: random.uniform(8, 60) for stage in stages} if has_scores else {"gates": random.uniform(5, 20)}
    )
    reasons = {
        TrialStatus.FAILED: "NonFiniteLossError: the loss of stage 'gates' is nan at step 212; lower the learning rate",
        TrialStatus.INFEASIBLE: "the narrowest network allowed still needs 36.1% of the macs, but the budget is 35%",
        TrialStatus.STOPPED: "stopped after rung 1 of 3",
    }
    return TrialRecord(
        study="cifar10-resnet20",
        number=number,
        trial_key=f"{random.getrandbits(64):016x}",
        status=status,
        reason=reasons.get(status),
        method=str(varied["method"]),
        seed=seed,
        config=make_config(varied),
        varied=varied,
        scores=scores if has_scores else None,
        limits={"macs": max(scores.macs, round(0.5 * DENSE_MACS))},
        kept={group: (widths[group], total) for group, (total, *_) in GROUPS.items()} if has_scores else {},
        stage_seconds=spent if status is not TrialStatus.INFEASIBLE else {},
        cached_stages=tuple(stage for stage in STAGES if stage not in stages),
        peak_memory_mb=812.5 if has_scores else None,
        started_at=started,
        finished_at=None if status is TrialStatus.RUNNING else started + 90 + random.uniform(0, 20),
        artifact_keys={"fine_tuning": f"{random.getrandbits(64):016x}"} if has_scores else {},
    )


def make_config(varied: Mapping[str, Scalar]) -> dict[str, object]:
    """Return a whole configuration with some dotted fields replaced."""
    config = copy.deepcopy(_CONFIG)
    for name, value in varied.items():
        *sections, field = name.split(".")
        place = config
        for section in sections:
            place = place[section]
        place[field] = value
    return config


def make_study(
    num_trials: int,
    *,
    seed: int = 0,
    statuses: Sequence[TrialStatus] = (TrialStatus.COMPLETE,),
    linked: bool = False,
) -> StudyRecords:
    """Make a study whose trials take the statuses in turn."""
    records = tuple(
        make_record(number, seed=seed, status=statuses[number % len(statuses)])
        for number in range(num_trials)
    )
    return study_of(records, linked=linked)


def study_of(records: Sequence[TrialRecord], *, linked: bool = False) -> StudyRecords:
    """Wrap trials in a study."""
    return StudyRecords(
        study="cifar10-resnet20",
        created_at=START,
        updated_at=max((record.finished_at or START for record in records), default=START) + 4,
        version="0.1.0",
        machine={"cpu": "2 cores", "memory_gb": 24, "gpu": None},
        records=tuple(records),
        run_ids={record.number: f"{record.number:032x}" for record in records} if linked else {},
        run_url_base="http://127.0.0.1:5000/#/experiments/1/runs" if linked else None,
    )


def record_with(
    number: int,
    accuracy: float,
    macs: int,
    params: int,
    *,
    num_images: int = 1000,
    finished: float | None = None,
) -> TrialRecord:
    """Make a complete trial with the figures given, beside a dense network of 1,000,000 MACs and 100,000 params."""
    base = make_record(number)
    scores = NetworkScores(
        num_images=num_images,
        num_correct_dense=round(0.95 * num_images),
        num_correct_after_removal=round(accuracy * num_images / 2),
        num_correct_fine_tuned=round(accuracy * num_images),
        macs=macs,
        params=params,
        dense_macs=1_000_000,
        dense_params=100_000,
    )
    return base.model_copy(
        update={
            "scores": scores,
            "limits": {},
            "finished_at": START + (finished if finished is not None else 10.0 * (number + 1)),
        }
    )


def staircase(count: int) -> list[TrialRecord]:
    """Make trials that are all on the front: more MACs and params, more accuracy."""
    return [
        record_with(index, 0.5 + 0.4 * index / count, 100_000 + 80_000 * index, 10_000 + 8_000 * index)
        for index in range(count)
    ]


def is_close(first: float, second: float) -> bool:
    """Whether two floats agree to rounding."""
    return math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12)


def make_gallery(
    numbers: Sequence[int], *, class_names: Sequence[str] = ("ship", "cat", "frog"), side: int = 8
) -> ExplanationGallery:
    """Make a gallery of two images: the first network keeps every explanation, each further one keeps less."""
    num_classes = len(class_names)

    def pixels(value: int, num_channels: int = 1) -> Pixels:
        return Pixels(
            width=side,
            height=side,
            num_channels=num_channels,
            data=bytes([value]) * (side * side * num_channels),
        )

    return ExplanationGallery(
        class_names=tuple(class_names),
        explainer=0,
        num_basis=2,
        agreement=0.8,
        labels=(0, 1),
        dense_classes=(0, 0),
        images=(pixels(30, 3), pixels(200, 3)),
        dense_masks=(pixels(255), pixels(128)),
        num_by_class=(60, 40, *(0,) * (num_classes - 2)),
        detectors_by_class=tuple(range(num_classes)),
        networks=tuple(
            GalleryNetwork(
                number=number,
                masks=(pixels(255 // (place + 1)), pixels(128 // (place + 1))),
                classes=(0, min(place, 1)),
                similarities=(1 / (place + 1), 0.5),
                similarity=1 / (place + 1),
                similarity_by_class=(1 / (place + 1), 0.75, *(None,) * (num_classes - 2)),
                same_class=1 - 0.1 * place,
                detectors_by_class=(0,) * num_classes if place else tuple(range(num_classes)),
                lost_in={"layer1.0.conv1": (1,)} if place else {},
            )
            for place, number in enumerate(numbers)
        ),
        note="2 further networks of the front are not shown.",
    )


def with_gallery(study: StudyRecords) -> StudyRecords:
    """Give a study a gallery of its two smallest networks of the front."""
    numbers = [record.number for record in find_front(study).points[-2:]]
    return study.model_copy(update={"gallery": make_gallery(numbers)})


MIXED = (
    *(TrialStatus.COMPLETE,) * 6,
    TrialStatus.FAILED,
    *(TrialStatus.COMPLETE,) * 4,
    TrialStatus.STOPPED,
    TrialStatus.COMPLETE,
    TrialStatus.INFEASIBLE,
    *(TrialStatus.COMPLETE,) * 3,
    TrialStatus.RUNNING,
)
ACCURACY_AND_MACS = {"accuracy": Direction.MAXIMIZE, "macs": Direction.MINIMIZE}


def stopped_at(record: TrialRecord, *epochs: int, seconds: float = 1.0) -> TrialRecord:
    """Make a stopped trial of a complete one, with its scores at every rung that it reached, ``seconds`` per epoch."""
    assert record.scores is not None
    rungs = tuple(
        RungScores(epochs=one, order=order, seconds=seconds * one, finished_at=START, scores=record.scores)
        for order, one in enumerate(epochs)
    )
    return record.model_copy(
        update={
            "status": TrialStatus.STOPPED,
            "scores": None,
            "reason": f"not among the best 1/3 of its rung after {epochs[-1]} of 9 epochs",
            "rungs": rungs,
            "stage_seconds": {"fine_tune": seconds * epochs[-1]},
        }
    )
