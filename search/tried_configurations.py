"""Which configurations a search has tried, so that none is tried twice: a later trial of one is refused, or gets a seed
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pruning_core.config import PruningConfig
from pruning_core.errors import InvalidSettingsError
from reports.records import TrialRecord, TrialStatus
from search.backend import PruningBackend, TrialPlan
from search.execution.smaller_batches import ran_smaller, with_smaller_batches
from search.repeats import Repeats
from search.spec import SearchSpec
from search.trial_records import Proposal
from spaces import Value

__all__ = ["TriedConfigurations"]

_CANNOT_RUN = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)


class TriedConfigurations:
    """Plans configurations, and knows those of all trials by their keys.

    Args:
        spec: Of the search; ``sampler.duplicates`` says whether a repeated configuration gets a new seed.
        backend: Gives configurations their keys.
    """

    def __init__(self, spec: SearchSpec, backend: PruningBackend) -> None:
        self._spec = spec
        self._backend = backend
        self._numbers: dict[str, int] = {}
        self._smaller: dict[str, int] = {}  # trials that ran out of memory, by their key with smaller batches
        self._num_shrunk: dict[int, int] = {}
        self._repeats = Repeats() if spec.sampler.duplicates == "new_seed" else None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left that may be proposed."""
        num_configurations = self._spec.space.num_configurations
        return (
            self._repeats is None
            and num_configurations is not None
            and len(self._numbers) >= num_configurations
        )

    def learn(self, record: TrialRecord) -> None:
        """Take in a trial that an earlier driver finished."""
        try:
            proposed = self._spec.make_config(record.varied)
        except InvalidSettingsError:  # it failed for that
            self._numbers[record.trial_key] = record.number
            return
        self._numbers[self._key_as_proposed(record, proposed)] = record.number
        if self._repeats is not None:
            self._repeats.note(self._backend.plan(proposed).trial_key, record.number)
            self.note_end(record)

    def plan(self, number: int, values: Mapping[str, Value]) -> tuple[PruningConfig, TrialPlan]:
        """Return the configuration that a trial runs with, and what that needs.

        Raises:
            InvalidSettingsError: The values make no configuration.
        """
        config = self._spec.make_config(values)
        plan = self._backend.plan(config)
        if self._repeats is not None:
            num_before = self._repeats.note(plan.trial_key, number)
            if num_before > 0 and not self._repeats.is_given_up(plan.trial_key):
                config = config.model_copy(update={"seed": config.seed + num_before})
                plan = self._backend.plan(config)
        return config, plan

    def find(self, key: str) -> int | None:
        """Return the number of the trial that had this key, as proposed or with smaller batches."""
        return self._numbers.get(key, self._smaller.get(key))

    def add(self, key: str, number: int) -> None:
        """Note that a trial is the first of this key."""
        self._numbers[key] = number

    def forget(self, key: str, number: int) -> None:
        """Take a trial back that will not run."""
        del self._numbers[key]
        if self._repeats is not None:
            self._repeats.forget(number)

    def note_end(self, record: TrialRecord) -> None:
        """Take in how a trial ended; one that cannot run is not tried again, under any seed."""
        if self._repeats is not None and record.status in _CANNOT_RUN:
            self._repeats.give_up(record.number)

    def is_tried(self, values: Mapping[str, Value]) -> bool:
        """Tell whether a configuration need not be proposed."""
        try:
            config = self._spec.make_config(values)
        except InvalidSettingsError:
            return True
        key = self._backend.plan(config).trial_key
        return key in self._numbers if self._repeats is None else self._repeats.is_given_up(key)

    def shrink(self, proposal: Proposal) -> Proposal | None:
        """Return a trial that ran out of memory with smaller batches; None if it may not or cannot run again."""
        number = proposal.asked.number
        smaller = with_smaller_batches(proposal.config)
        if smaller is None or self._num_shrunk.get(number, 0) >= self._spec.limits.memory_retries:
            return None
        config, note = smaller
        plan = self._backend.plan(config)
        if self.find(plan.trial_key) is not None:
            return None
        self._num_shrunk[number] = self._num_shrunk.get(number, 0) + 1
        self._smaller[plan.trial_key] = number
        return replace(proposal, config=config, plan=plan, note=note)

    def _key_as_proposed(self, record: TrialRecord, proposed: PruningConfig) -> str:
        """Return the key of what was proposed, which ran with smaller batches if it ran out of memory."""
        if not ran_smaller(record.config, proposed):
            return record.trial_key
        self._smaller[record.trial_key] = record.number
        return self._backend.plan(proposed.model_copy(update={"seed": record.seed})).trial_key
