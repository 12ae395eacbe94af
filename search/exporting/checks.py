"""Is a network what its study recorded? Asked before anything of it is exported or measured."""

from __future__ import annotations

from torch import nn

from pruning_core.channels import count_activation_memory, count_cost
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits
from pruning_core.errors import StorageError
from pruning_core.stages import plan_run
from pruning_core.training import Evaluation, evaluate
from reports.fronts import scores_of
from reports.records import StudyRecords, TrialRecord, TrialStatus

__all__ = ["TOLERATED_SHARE", "check_accuracy", "check_cost", "check_key", "find_trial"]

TOLERATED_SHARE = 0.005
"""Of the validation images (but at least one), how many more or fewer may be right than were recorded: another
machine, or a GPU, rounds differently, and an image between two classes goes to the other."""


def find_trial(records: StudyRecords, number: int) -> TrialRecord:
    """Return a complete trial.

    Raises:
        ValueError: There is no such trial, or it has no network.
    """
    found = [record for record in records.records if record.number == number]
    if not found:
        complete = [one.number for one in records.records if one.status is TrialStatus.COMPLETE]
        known = ", ".join(str(number) for number in sorted(complete)) or "none"
        raise ValueError(f"study '{records.study}' has no trial {number}. Complete trials: {known}.")
    record = found[0]
    if record.status is not TrialStatus.COMPLETE:
        why = f": {record.reason}" if record.reason else ""
        raise ValueError(f"trial {number} must be complete to have a network, but it is {record.status}{why}")
    return record


def check_key(config: PruningConfig, data: DataSplits, record: TrialRecord) -> None:
    """Refuse data, or a version of prunefront, by which the configuration would be another trial.

    Raises:
        StorageError: Its key is not the recorded one.
    """
    key = plan_run(config, data.fingerprint).trial_key
    if key != record.trial_key:
        raise StorageError(
            f"trial {record.number} must be run {record.trial_key} of its configuration and data, but these are run "
            f"{key} now; bring the data back as they were, and use the version of prunefront that ran the trial"
        )


def check_cost(network: nn.Module, record: TrialRecord, input_shape: tuple[int, int, int]) -> None:
    """Count a network's cost again and compare.

    Raises:
        StorageError: It is not what the trial recorded.
    """
    counted = count_cost(network, input_shape)
    scores = scores_of(record)
    if (counted.macs, counted.params) != (scores.macs, scores.params):
        raise StorageError(
            f"the network of trial {record.number} must cost what was recorded, {scores.macs} MACs and "
            f"{scores.params} params, but it costs {counted.macs} and {counted.params}; its artifact is not the "
            "trial's: delete it and resume the study"
        )
    if scores.activation_memory is None:
        return
    num_bytes = count_activation_memory(network, input_shape)
    if num_bytes != scores.activation_memory:
        raise StorageError(
            f"the network of trial {record.number} must hold {scores.activation_memory} bytes of activations as was "
            f"recorded, but it holds {num_bytes}; its artifact is not the trial's: delete it and resume the study"
        )


def check_accuracy(network: nn.Module, record: TrialRecord, data: DataSplits) -> Evaluation:
    """Evaluate a network on validation images again and compare; returns what was found.

    Raises:
        StorageError: More answers than `TOLERATED_SHARE` changed between right and wrong, taken together.
    """
    scores = scores_of(record)
    found = evaluate(network, data.validation, data.normalisation)
    tolerated = max(1, int(TOLERATED_SHARE * scores.num_images))
    difference = abs(found.num_correct - scores.num_correct_fine_tuned)
    if found.num_images != scores.num_images or difference > tolerated:
        raise StorageError(
            f"the network of trial {record.number} must be right on {scores.num_correct_fine_tuned} of "
            f"{scores.num_images} validation images as was recorded, give or take {tolerated}, but is on "
            f"{found.num_correct} of {found.num_images}; its artifact or the data are not the trial's: delete the "
            "artifact and resume the study"
        )
    return found
