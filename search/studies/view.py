"""What samplers see of a study: not all of a long one, and trials of earlier studies with it.

Models grow with the history, and with them the time that a free slot waits for a proposal. So a model sees a bounded
number of finished trials: the front, because that is what is to be improved, and the newest.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Container, Sequence
from functools import cached_property

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
        choose: Returns what is shown instead of its trials. Called once, when they are first looked at: not all
            samplers do, and of a long study it takes a while.
    """

    def __init__(self, study: Study, choose: Callable[[], Sequence[FrozenTrial]]) -> None:
        vars(self).update(vars(study))
        self._choose = choose

    @cached_property
    def _shown(self) -> Sequence[FrozenTrial]:
        return self._choose()

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

    Half of them at most are of the front, the newest of it; the rest are the newest of the others. What is known of
    finished trials is kept between calls, so that each call looks at the others only.

    Args:
        limit: Above 1.
        is_hidden: Tells of a trial that it is never shown.
    """

    def __init__(self, limit: int | None, is_hidden: Callable[[FrozenTrial], bool] = lambda _: False) -> None:
        self._limit = limit
        self._is_hidden = is_hidden
        self._num_seen = 0
        self._unfinished: list[int] = []
        self._finished: list[int] = []  # places in the history, rising
        self._front: list[int] = []
        self._front_values = np.empty(0)  # reading them from so many trials would take longer than all else

    def shown(
        self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> Sequence[FrozenTrial]:
        """Return all trials that are not finished and the chosen finished ones, in the given order.

        Args:
            trials: Of one study; those of earlier calls first.
            directions: Of its objectives.
        """
        if self._limit is None:
            return [trial for trial in trials if not self._is_hidden(trial)]
        self._look_at_new(trials, directions)
        chosen = self._finished
        if len(chosen) > self._limit:
            front = self._front[-(self._limit // 2) :]
            members = set(front)
            others = (place for place in reversed(self._finished) if place not in members)
            chosen = [*front, *itertools.islice(others, self._limit - len(front))]
        running = [place for place in self._unfinished if not self._is_hidden(trials[place])]
        return [trials[place] for place in sorted([*chosen, *running])]

    def _look_at_new(self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> None:
        places = [*self._unfinished, *range(self._num_seen, len(trials))]
        self._num_seen = len(trials)
        self._unfinished = [place for place in places if not trials[place].state.is_finished()]
        finished = [
            place
            for place in places
            if trials[place].state.is_finished() and not self._is_hidden(trials[place])
        ]
        self._finished = sorted([*self._finished, *finished])
        counting = [place for place in finished if _counts(trials[place])]
        if counting:
            self._update_front(counting, [trials[place].values for place in counting], directions)

    def _update_front(
        self, places: Sequence[int], values: Sequence[Sequence[float]], directions: Sequence[StudyDirection]
    ) -> None:
        known = self._front_values.reshape(-1, len(directions))
        candidates = np.array([*self._front, *places])
        order = np.argsort(candidates)
        candidates, both = candidates[order], np.vstack([known, values])[order]
        is_member = non_dominated(both, [_OURS[one] for one in directions])
        self._front, self._front_values = candidates[is_member].tolist(), both[is_member]


_OURS = {StudyDirection.MAXIMIZE: Direction.MAXIMIZE, StudyDirection.MINIMIZE: Direction.MINIMIZE}


def _counts(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())
