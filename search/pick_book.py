"""What was picked of a study, newest first: ``picks.json`` in its folder.

The file is the last pick; its ``earlier`` holds those before it, newest first. Files of versions that kept the last
pick only have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from search.disk import storage_errors, write_whole
from search.next_steps import command
from search.studies.folder import StudyFolder

__all__ = ["PICKS_FILE", "PickEntry", "amend_pick", "read_pick", "read_picks", "remember_pick"]

PICKS_FILE = "picks.json"

PickEntry: TypeAlias = dict[str, Any]
"""One pick as JSON holds it: ``trial``, ``trial_key``, ``rule``, ``limits`` as typed, ``why``, ..."""

_EARLIER = "earlier"
_SAME_CHOICE = ("trial_key", "rule", "limits")
_OF_THE_NETWORK = ("test", "confirmation")
_MOST_KEPT = 100


def read_picks(folder: StudyFolder) -> list[PickEntry]:
    """Return the picks of a study, newest first; none if nothing was picked.

    Raises:
        ValueError: The file is not what `remember_pick` writes.
    """
    path = folder.path / PICKS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        earlier = content.get(_EARLIER, [])
        picks = [{name: value for name, value in content.items() if name != _EARLIER}, *earlier]
        are_whole = all(isinstance(one["trial"], int) for one in picks)
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError):
        are_whole = False
    if not are_whole:
        raise ValueError(f"{path} must name a trial, but does not{_hint(folder)}")
    return picks


def read_pick(folder: StudyFolder) -> int:
    """Return the number of the trial that was picked last.

    Raises:
        ValueError: Nothing was picked yet, or the file is not what `remember_pick` writes.
    """
    picks = read_picks(folder)
    if not picks:
        raise ValueError(f"a network of study '{folder.study}' must be picked, but none is{_hint(folder)}")
    number: int = picks[0]["trial"]
    return number


def remember_pick(folder: StudyFolder, entry: Mapping[str, Any]) -> PickEntry:
    """Make a pick the last one, and return it with what is known of its network from earlier picks of it.

    ``test`` and ``confirmation`` belong to the network, ``mlflow`` (what was told there) to the pick that was last. The
    same choice made twice in a row counts once. A file that cannot be read is begun anew.

    Raises:
        StorageError: The study's folder cannot be written.
    """
    try:
        picks = read_picks(folder)
    except ValueError:
        picks = []
    new = dict(entry)
    same_network = next((one for one in picks if one.get("trial_key") == new["trial_key"]), {})
    for name in _OF_THE_NETWORK:
        if new.get(name) is None:
            new[name] = same_network.get(name)
    new["mlflow"] = picks[0].get("mlflow") if picks and picks[0] is same_network else None
    if picks and all(picks[0].get(name) == new[name] for name in _SAME_CHOICE):
        picks = picks[1:]
    _write(folder, [new, *picks])
    return new


def amend_pick(folder: StudyFolder, **facts: Any) -> None:
    """Add what became known of the last pick.

    Raises:
        StorageError: The study's folder cannot be written.
    """
    last, *earlier = read_picks(folder)
    _write(folder, [{**last, **facts}, *earlier])


def _write(folder: StudyFolder, picks: list[PickEntry]) -> None:
    content = {**picks[0], _EARLIER: picks[1:_MOST_KEPT]}
    with storage_errors(folder.path):
        write_whole(folder.path / PICKS_FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _hint(folder: StudyFolder) -> str:
    return f"; choose one first, such as with `{command(folder, 'pick', '--knee')}`"
