"""Test scores that were looked at before, read without loading any network or torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pruning_core.kept_artifacts import read_facts, score_key
from reports.records import TestScores, TrialRecord, TrialStatus

__all__ = ["kept_test_scores", "with_test_scores"]


def with_test_scores(records: Iterable[TrialRecord], artifacts: Path) -> tuple[TrialRecord, ...]:
    """Return the records, with test scores where the networks were chosen once; ``artifacts``: root of the store."""
    found = []
    for record in records:
        scores = kept_test_scores(record, artifacts)
        found.append(record if scores is None else record.model_copy(update={"test": scores}))
    return tuple(found)


def kept_test_scores(record: TrialRecord, artifacts: Path) -> TestScores | None:
    """Return the test scores of a trial and its dense network; None if they have not been looked at.

    Raises:
        StorageError: They are there but cannot be read.
    """
    keys = record.artifact_keys
    if record.status is not TrialStatus.COMPLETE or not {"fine_tune", "dense"} <= keys.keys():
        return None
    slim = read_facts(artifacts, score_key(keys["fine_tune"]))
    dense = None if slim is None else read_facts(artifacts, score_key(keys["dense"]))
    if slim is None or dense is None:
        return None
    return TestScores(
        num_images=slim["num_images"],
        num_correct=slim["num_correct"],
        num_correct_dense=dense["num_correct"],
    )
