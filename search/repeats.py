"""Configurations that are proposed again, where each further trial of one gets a seed of its own."""

from __future__ import annotations

__all__ = ["Repeats"]


class Repeats:
    """Which trials have one configuration, by its key under the seed of the spec."""

    def __init__(self) -> None:
        self._numbers: dict[str, set[int]] = {}
        self._keys: dict[int, str] = {}
        self._given_up: set[str] = set()

    def note(self, key: str, number: int) -> int:
        """Note that a trial has this configuration; return how many before it had it, by their numbers.

        The answer does not depend on the order in which trials are noted, so that a resumed search gives a trial the
        seed that it had.
        """
        numbers = self._numbers.setdefault(key, set())
        numbers.add(number)
        self._keys[number] = key
        return sum(one < number for one in numbers)

    def forget(self, number: int) -> None:
        """Take a trial back that will not run."""
        key = self._keys.pop(number, None)
        if key is not None:
            self._numbers[key].discard(number)

    def give_up(self, number: int) -> None:
        """Note that the configuration of a trial cannot run; it is not to be tried again under any seed."""
        if number in self._keys:
            self._given_up.add(self._keys[number])

    def is_given_up(self, key: str) -> bool:
        """Tell whether a configuration cannot run."""
        return key in self._given_up
