"""Who is compared on a recording, and what a figure of theirs depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.code_digests import digest_parts, essence_of, parts_of_file
from benchmarks.peers.methods import PEERS, Peer
from benchmarks.replay_runs import Conditions, Ours
from search.early_stopping.halving import HALVINGS
from search.sampling.samplers import SAMPLERS

__all__ = ["COMPARED", "OURS", "ROWS", "RULES", "Settings", "is_ours", "is_peer", "row_name"]

OURS = ("along_front", "known_costs")
COMPARED = ("random", "nsga2", "tpe", "gp", *OURS)
RULES = tuple(rule for rule in HALVINGS if rule != "all")

_ROOT = Path(__file__).parents[1]
_ALWAYS = (
    "search/replay/surrogate.py",
    "search/replay/regressors.py",
    "search/replay/simulation.py",
    "benchmarks/replay_runs.py",
)
_SAMPLERS = "search/sampling/samplers.py"
_OF_SAMPLERS = {
    "along_front": (
        "search/sampling/along_front.py",
        "search/sampling/front_gaps.py",
        "search/sampling/neighbours.py",
        "search/sampling/budget_axes.py",
        "search/sampling/parzen.py",
    ),
    "known_costs": (
        "search/sampling/known_costs.py",
        "search/sampling/expected_front.py",
        "search/sampling/accuracy_model.py",
        "search/sampling/gaussian_process.py",
        "search/sampling/inputs.py",
        "search/sampling/neighbours.py",
        "search/sampling/budget_axes.py",
    ),
}
_OF_RULES = (
    "search/early_stopping/halving.py",
    "search/early_stopping/halving_order.py",
    "search/early_stopping/growing_ranks.py",
    "search/early_stopping/rung.py",
)


def row_name(sampler: str, rule: str) -> str:
    """Return the name of the row of one of our searches."""
    return f"{sampler}, {rule}"


ROWS: dict[str, Ours | Peer] = {
    **{row_name(sampler, rule): Ours(sampler=sampler, rule=rule) for rule in RULES for sampler in COMPARED},
    **PEERS,
}


def is_peer(row: str) -> bool:
    """Whether a row is somebody else's search: another tool, or a sampler of Optuna, which stops no trial early."""
    one = ROWS[row]
    return isinstance(one, Peer) or (one.sampler not in OURS and one.rule == "none")


def is_ours(row: str) -> bool:
    """Whether a row is a search by one of our own samplers."""
    one = ROWS[row]
    return not isinstance(one, Peer) and one.sampler in OURS


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """A recording's file, with what is the same for everybody."""

    recording: Path
    conditions: Conditions

    def identify(self, row: str) -> Mapping[str, Any]:
        """Return what a cell of a row depends on: recording, conditions and the code that decides."""
        one = ROWS[row]
        return {
            "recording": _digest_bytes(self.recording),
            "trainings": self.conditions.trainings,
            "slots": self.conditions.slots,
            "eta": self.conditions.eta,
            "peer": one.requirements[0] if isinstance(one, Peer) else "",
            "code": digest_parts([*(essence_of(_ROOT / file) for file in _files_of(one)), *_choices_of(one)]),
        }


def _files_of(one: Ours | Peer) -> tuple[str, ...]:
    if isinstance(one, Peer):
        return (*_ALWAYS, one.runner[0].replace(".", "/") + ".py")
    return (*_ALWAYS, *_OF_SAMPLERS.get(one.sampler, ()), *(_OF_RULES if one.rule != "none" else ()))


def _choices_of(one: Ours | Peer) -> tuple[str, ...]:
    """Return how our table of samplers makes one, and how much of the history that one is shown."""
    if isinstance(one, Peer):
        return ()
    kind = SAMPLERS[one.sampler]
    return parts_of_file(_ROOT / _SAMPLERS, [kind.make.__name__]), str(kind.max_history)


@lru_cache(maxsize=8)
def _digest_bytes(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
