"""The unpruned networks a study starts from, for comparison."""

from __future__ import annotations

from dataclasses import dataclass

from reports.records import StudyRecords
from reports.scores import NetworkScores

__all__ = ["DenseNetwork", "dense_networks", "dense_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseNetwork:
    """Validation accuracy (as counts) and cost of a network with all of its channels."""

    num_images: int
    num_correct: int
    macs: int
    params: int

    @property
    def accuracy(self) -> float:
        """Validation accuracy, in [0, 1]."""
        return self.num_correct / self.num_images


def dense_of(scores: NetworkScores) -> DenseNetwork:
    """Return the dense network that a slim one was cut from."""
    return DenseNetwork(
        num_images=scores.num_images,
        num_correct=scores.num_correct_dense,
        macs=scores.dense_macs,
        params=scores.dense_params,
    )


def dense_networks(study: StudyRecords) -> tuple[DenseNetwork, ...]:
    """Return the different dense networks of a study, largest first: one, unless the search varies them."""
    found = {dense_of(record.scores) for record in study.records if record.scores is not None}
    return tuple(sorted(found, key=lambda dense: (-dense.macs, -dense.params, -dense.num_correct)))
