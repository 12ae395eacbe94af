"""The one look at the test images that a chosen network gets. Loads torch."""

from __future__ import annotations

from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, evaluate_on_test
from reports.records import TestScores, TrialRecord
from search.artifact_address import artifact_address
from search.plug_in_path import add_plug_in_path
from search.spec import SearchSpec
from search.studies.folder import StudyFolder

__all__ = ["score_on_test", "score_trial_on_test"]


def score_on_test(config: PruningConfig, data: DataSplits, store: ArtifactStore) -> TestScores:
    """Score a finished run's network and its dense one on the test images; measured once, then read.

    Raises:
        StorageError: The run is not finished in this store.
    """
    slim, dense = evaluate_on_test(config, data=data, store=store)
    return TestScores(
        num_images=slim.num_images, num_correct=slim.num_correct, num_correct_dense=dense.num_correct
    )


def score_trial_on_test(record: TrialRecord, spec: SearchSpec, folder: StudyFolder) -> TestScores:
    """Score a complete trial's network, whose data is loaded for that.

    Raises:
        PrunefrontError: The data cannot be read, or the trial's artifacts are gone.
    """
    add_plug_in_path(spec.plug_ins)
    config = load_config(record.config)
    return score_on_test(config, load_data(config.dataset), ArtifactStore(artifact_address(spec, folder)))
