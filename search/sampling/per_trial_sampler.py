"""A sampler that is built anew for every trial, and does not propose what was tried before.

What a trial proposes then depends on the study's history and the trial's number alone, not on how many proposals this
process has made, and so not on how often the driver died. What samplers learn they keep in the study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from spaces import SearchSpace, Value

__all__ = ["MakeSampler", "PerTrialSampler"]

_NUM_ATTEMPTS = 5
"""Proposals of the sampler itself, before an untried configuration is drawn at random."""

_NUM_DRAWS = 2000


class MakeSampler(Protocol):
    """Builds samplers."""

    def __call__(self, number: int, attempt: int | None) -> BaseSampler:
        """Build the sampler for an attempt at a trial's proposal; None: one that draws at random."""


def _all_of_it(study: Study) -> Study:
    return study


def _nothing(_number: int, _attempt: int) -> Mapping[str, Value]:
    return {}


class PerTrialSampler(BaseSampler):
    """Draws all fields at once, so that whole configurations can be compared with those that were tried.

    Args:
        space: What varies.
        make: Builds the samplers that propose.
        is_tried: Tells of a configuration whether it was proposed before.
        view: Returns what samplers may see of the study.
        believe: Returns values that go before what an attempt at a trial's proposal says, by field.
    """

    def __init__(
        self,
        space: SearchSpace,
        make: MakeSampler,
        is_tried: Callable[[Mapping[str, Value]], bool],
        view: Callable[[Study], Study] = _all_of_it,
        believe: Callable[[int, int], Mapping[str, Value]] = _nothing,
    ) -> None:
        self._space = space
        self._make = make
        self._is_tried = is_tried
        self._view = view
        self._believe = believe

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: also what a sampler would draw field by field is drawn at once."""
        return dict(self._space.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return an untried configuration; the last one drawn if there seems to be none.

        It holds a value for every field, also for those that do not exist in it.
        """
        given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        shown = self._view(study)
        point: dict[str, Any] = {}
        for attempt in range(_NUM_ATTEMPTS):
            point = _draw(self._make(trial.number, attempt), shown, trial, search_space)
            point.update(self._believe(trial.number, attempt))
            if not self._is_tried(self._space.existing({**point, **given})):
                return point
        uniform = self._make(trial.number, None)
        seen: set[tuple[Value, ...]] = set()
        for _ in range(_NUM_DRAWS):
            point = _draw(uniform, shown, trial, search_space)
            whole = self._space.existing({**point, **given})
            values = tuple(whole.values())
            if values not in seen and not self._is_tried(whole):
                return point
            seen.add(values)
        return point

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one field; only for a field that the whole draw could not cover."""
        sampler = self._make(trial.number, 0)
        return sampler.sample_independent(self._view(study), trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler of a finished trial."""
        self._make(trial.number, 0).after_trial(study, trial, state, values)


def _draw(
    sampler: BaseSampler, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Let a sampler propose as Optuna does: together what it can, and the rest field by field."""
    sampler.before_trial(study, trial)
    together = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))
    return {
        name: together[name]
        if name in together
        else sampler.sample_independent(study, trial, name, distribution)
        for name, distribution in space.items()
    }
