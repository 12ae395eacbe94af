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

__all__ = ["BoundedHistory", "StudyView"]


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


class BoundedHistory:
    """Chooses what is shown of a growing history: at most ``limit`` finished trials (None: all).

    Half of them at most are of the front, the newest of it; the rest are the newest of the others. The front is kept
    between calls, so that each call looks at new trials only.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._seen: set[int] = set()
        self._front: list[FrozenTrial] = []

    def shown(
        self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> Sequence[FrozenTrial]:
        """Return all trials that are not finished and the chosen finished ones, in the given order.

        Args:
            trials: Of one study, with numbers that differ; those of earlier calls among them.
            directions: Of its objectives.
        """
        if self._limit is None or len(trials) <= self._limit:
            return trials
        finished = [trial for trial in trials if trial.state.is_finished()]
        if len(finished) <= self._limit:
            return trials
        front = self._update(finished, directions)[-(self._limit // 2) :]
        kept = {trial.number for trial in front}
        others = [trial for trial in finished if trial.number not in kept]
        kept.update(trial.number for trial in others[-(self._limit - len(front)) :])
        return [trial for trial in trials if trial.number in kept or not trial.state.is_finished()]

    def _update(
        self, finished: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        new = [trial for trial in finished if trial.number not in self._seen]
        self._seen.update(trial.number for trial in new)
        candidates = sorted([*self._front, *filter(_counts, new)], key=lambda trial: trial.number)
        values = np.array([trial.values for trial in candidates], dtype=np.float64)
        is_member = non_dominated(values.reshape(-1, len(directions)), [_OURS[one] for one in directions])
        self._front = [trial for trial, is_one in zip(candidates, is_member, strict=True) if is_one]
        return self._front


_OURS = {StudyDirection.MAXIMIZE: Direction.MAXIMIZE, StudyDirection.MINIMIZE: Direction.MINIMIZE}


def _counts(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())
