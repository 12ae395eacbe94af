"""Test scores that were looked at before, read without loading any network or torch."""

from __future__ import annotations

from collections.abc import Sequence

from pruning_core.artifact_places import ArtifactPlace
from pruning_core.kept_artifacts import score_key
from reports.records import TestScores, TrialRecord, TrialStatus

__all__ = ["with_test_scores"]


def with_test_scores(records: Sequence[TrialRecord], artifacts: ArtifactPlace) -> tuple[TrialRecord, ...]:
    """Return the records, with test scores of trials and their dense networks where these were chosen once.

    Raises:
        StorageError: Scores are there but cannot be read.
    """
    scored = [record for record in records if _can_be_scored(record)]
    slim = artifacts.facts_of({_score_key(record, "fine_tune") for record in scored})
    chosen = [record for record in scored if _score_key(record, "fine_tune") in slim]
    dense = artifacts.facts_of({_score_key(record, "dense") for record in chosen})
    scores = {
        record.number: TestScores(
            num_images=slim[_score_key(record, "fine_tune")]["num_images"],
            num_correct=slim[_score_key(record, "fine_tune")]["num_correct"],
            num_correct_dense=dense[_score_key(record, "dense")]["num_correct"],
        )
        for record in chosen
        if _score_key(record, "dense") in dense
    }
    return tuple(
        record.model_copy(update={"test": scores[record.number]}) if record.number in scores else record
        for record in records
    )


def _can_be_scored(record: TrialRecord) -> bool:
    return record.status is TrialStatus.COMPLETE and {"fine_tune", "dense"} <= record.artifact_keys.keys()


def _score_key(record: TrialRecord, stage: str) -> str:
    return score_key(record.artifact_keys[stage])
