"""What samplers see of a study: not all of a long one, and trials of earlier studies with it.

Models grow with the history, and with them the time that a free slot waits for a proposal. So a model sees a bounded
number of finished trials: the front, because that is what is to be improved, and the newest.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import numpy as np
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from reports.fronts import non_dominated
from reports.objectives import Direction

__all__ = ["StudyView", "bounded"]


class StudyView(Study):
    """A study that shows some trials only; what is written goes to the study itself.

    Args:
        study: Where trials and attributes are written.
        trials: What is shown instead of its trials.
    """

    def __init__(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        vars(self).update(vars(study))
        self._shown = trials

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> list[FrozenTrial]:
        shown = [trial for trial in self._shown if states is None or trial.state in states]
        return copy.deepcopy(shown) if deepcopy else shown


def bounded(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], limit: int | None
) -> list[FrozenTrial]:
    """Return all trials that are not finished and at most ``limit`` finished ones, in the given order.

    Half of them at most are of the front, the newest of it; the rest are the newest of the others.
    """
    finished = [trial for trial in trials if trial.state.is_finished()]
    if limit is None or len(finished) <= limit:
        return list(trials)
    front = _front(finished, directions)[-(limit // 2) :]
    kept = {trial.number for trial in front}
    others = [trial for trial in finished if trial.number not in kept]
    kept.update(trial.number for trial in others[-(limit - len(front)) :])
    return [trial for trial in trials if not trial.state.is_finished() or trial.number in kept]


def _front(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    ranked = [
        trial
        for trial in trials
        if trial.state is TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())
    ]
    values = np.array([trial.values for trial in ranked], dtype=np.float64).reshape(-1, len(directions))
    ours = [
        Direction.MAXIMIZE if direction is StudyDirection.MAXIMIZE else Direction.MINIMIZE
        for direction in directions
    ]
    is_member = non_dominated(values, ours)
    return [trial for trial, is_one in zip(ranked, is_member, strict=True) if is_one]
