"""One search on a recording, ours or a peer's, as the history of its front's hypervolume.

The hypervolume is that of reports: the share of the box between accuracy 0 at the dense network's costs and accuracy 1
at no cost. It depends on the recording alone, so it is the same measure for everybody. Networks count from the moment
at which they are trained to the end; what ends after the time is up does not count.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.peers.conversation import converse
from benchmarks.peers.environments import make_environment
from benchmarks.peers.methods import Peer
from benchmarks.peers.runners.pipe import Field, Measured, Run, Task
from pruning_core.errors import InvalidDataError
from reports.fronts import GrowingFront, is_ranked, losses_of, volume_of
from reports.records import NetworkScores, StudyRecords, TrialRecord
from search.replay.backend import ReplayBackend
from search.replay.recording import Recording
from search.replay.simulation import simulate
from search.spec import SearchSpec

__all__ = ["Conditions", "Ours", "replay_ours", "replay_peer"]

_FEW_ENOUGH_TRIALS = 1_000_000  # time ends the search, not their number
_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What is the same for everybody.

    ``trainings``: the virtual time, in whole trainings of a configuration as long as the recorded ones are on average,
    on all ``slots`` together. ``eta``: one of so many goes on at a rung.
    """

    trainings: float
    slots: int
    eta: int

    def seconds(self, recording: Recording) -> float:
        """Return the virtual time of a search."""
        end = recording.epochs[-1]
        return self.trainings * statistics.mean(run.seconds[end] for run in recording.runs) / self.slots


@dataclass(frozen=True, kw_only=True, slots=True)
class Ours:
    """A combination of a sampler and a rule of halving."""

    sampler: str
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """A configuration. ``scores``: None unless it came to its end at ``ended``."""

    begun: float
    ended: float | None = None
    scores: NetworkScores | None = None


def replay_ours(
    recording: Recording, backend: ReplayBackend, ours: Ours, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """Run one of our searches until its time is up.

    Returns:
        As `replay_peer`.
    """
    seconds = conditions.seconds(recording)
    spec = _spec_of(recording, ours, conditions, seconds=seconds, seed=seed)
    study = simulate(spec, backend, slots=conditions.slots)
    return _history(recording, (_outcome(record, study) for record in study.records), seconds)


def replay_peer(
    recording: Recording,
    backend: ReplayBackend,
    peer: Peer,
    conditions: Conditions,
    seed: int,
    *,
    environments: Path,
) -> dict[str, Any]:
    """Let a peer search until its time is up.

    Returns:
        ``num_configurations`` that were begun, ``num_complete`` that came to the end, the virtual ``seconds``, and
        ``steps``: after each network that raised the hypervolume, how many configurations had been begun, at which
        second, and the hypervolume.

    Raises:
        PeerError: It cannot be installed or run.
        InvalidDataError: The recorded search has limits, which peers do not know, or its rungs are not where theirs
            would be.
    """
    if recording.spec.constraints:
        raise InvalidDataError(
            f"peers know objectives only, but the recorded search has constraints "
            f"{', '.join(recording.spec.constraints)}; compare without peers"
        )
    _check_rungs(recording, conditions.eta)
    seconds = conditions.seconds(recording)
    task = Task(
        fields=_fields(recording),
        epochs=list(recording.epochs),
        eta=conditions.eta,
        slots=conditions.slots,
        seconds=seconds,
        seed=seed,
    )
    end = recording.epochs[-1]

    def answer(values: Mapping[str, Any]) -> list[Measured]:
        config = recording.spec.make_config(values)
        return [
            Measured(
                epochs=epochs,
                losses=losses_of(backend.scores(config, epochs), recording.spec.objectives),
                seconds=backend.seconds(config, epochs),
            )
            for epochs in recording.epochs
        ]

    def outcome(run: Run) -> _Outcome:
        if run["ended"] is None:
            return _Outcome(begun=run["begun"])
        config = recording.spec.make_config(run["values"])
        return _Outcome(begun=run["begun"], ended=run["ended"], scores=backend.scores(config, end))

    runs = converse(make_environment(peer, environments), peer.runner, task, answer)
    return _history(recording, map(outcome, runs), seconds)


def _check_rungs(recording: Recording, eta: int) -> None:
    theirs = [recording.epochs[0] * eta**power for power in range(len(recording.epochs))]
    if theirs != list(recording.epochs):
        raise InvalidDataError(
            f"peers measure at the first rung times powers of eta, {theirs}, but the recording has epochs "
            f"{list(recording.epochs)}; choose another --eta, or compare without peers"
        )


def _spec_of(
    recording: Recording, ours: Ours, conditions: Conditions, *, seconds: float, seed: int
) -> SearchSpec:
    given = recording.spec
    rungs = {"eta": conditions.eta, "rungs": list(given.rungs)} if ours.rule != "none" else {}
    return type(given).model_validate(
        {
            **given.model_dump(mode="json"),
            "search": {name: one.written() for name, one in given.search.items()},
            "halving": {"rule": ours.rule, **rungs},
            "sampler": {"name": ours.sampler, "seed": seed},
            "limits": {"trials": _FEW_ENOUGH_TRIALS, "hours": seconds / 3600},
        }
    )


def _outcome(record: TrialRecord, study: StudyRecords) -> _Outcome:
    begun = record.started_at if record.started_at is not None else 0.0
    if not is_ranked(record, study.objectives):
        return _Outcome(begun=begun)
    return _Outcome(begun=begun, ended=record.finished_at, scores=record.scores)


def _history(recording: Recording, outcomes: Iterable[_Outcome], seconds: float) -> dict[str, Any]:
    in_time = [one for one in outcomes if one.begun <= seconds]
    begun = sorted(one.begun for one in in_time)
    complete = sorted(
        ((one.ended, one.scores) for one in in_time if one.ended is not None and one.ended <= seconds),
        key=lambda pair: pair[0],
    )
    front = GrowingFront(len(recording.spec.objectives))
    steps: list[tuple[int, float, float]] = []
    best = 0.0
    for ended, scores in complete:
        assert scores is not None
        if not front.add(np.array(losses_of(scores, recording.spec.objectives))):
            continue
        volume = round(volume_of(front.rows), _DIGITS)
        if volume > best:
            best = volume
            steps.append((bisect.bisect_left(begun, ended), round(ended, 2), volume))
    return {
        "num_configurations": len(in_time),
        "num_complete": len(complete),
        "seconds": round(seconds, 2),
        "steps": steps,
    }


def _fields(recording: Recording) -> list[Field]:
    return [_field(name, one) for name, one in recording.spec.space.distributions.items()]


def _field(name: str, one: BaseDistribution) -> Field:
    if isinstance(one, CategoricalDistribution):
        return Field(name=name, low=None, high=None, log=False, whole=False, choices=list(one.choices))
    assert isinstance(one, (FloatDistribution, IntDistribution))
    whole = isinstance(one, IntDistribution)
    return Field(name=name, low=one.low, high=one.high, log=one.log, whole=whole, choices=None)
