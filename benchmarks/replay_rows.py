"""Who is compared on a recording, and what a figure of theirs depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.peers.methods import PEERS, Peer
from benchmarks.replay_runs import Conditions, Ours
from search.early_stopping.halving import HALVINGS

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
    "search/sampling/samplers.py",
)
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
_OF_RULES = ("search/early_stopping/halving.py", "search/early_stopping/halving_order.py")


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
        if isinstance(one, Peer):
            runner = one.runner[0].replace(".", "/") + ".py"
            files, version = [*_ALWAYS[:4], runner], one.requirements[0]
        else:
            files = [*_ALWAYS, *_OF_SAMPLERS.get(one.sampler, ()), *(_OF_RULES if one.rule != "none" else ())]
            version = ""
        return {
            "recording": _digest([self.recording]),
            "trainings": self.conditions.trainings,
            "slots": self.conditions.slots,
            "eta": self.conditions.eta,
            "peer": version,
            "code": _digest(_ROOT / file for file in files),
        }


def _digest(paths: Iterable[Path]) -> str:
    return _digest_of(tuple(paths))


@lru_cache(maxsize=256)
def _digest_of(paths: tuple[Path, ...]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]
