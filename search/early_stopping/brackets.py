"""Hyperband's brackets [Li2018]: some trials are judged early, some late, some never.

How much the first rungs tell of the end is not known beforehand. A bracket begins to stop trials at a rung of its own,
and gets so many trials that all brackets train for about as long.

References:
    [Li2018] L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar. Hyperband: a novel bandit-based approach to
        hyperparameter optimization. JMLR 18, 2018.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["bracket_of", "bracket_sizes"]


def bracket_sizes(num_rungs: int, eta: int) -> tuple[int, ...]:
    """Return how many trials of a round belong to each bracket, the one that stops earliest first.

    Bracket b begins to stop at rung b; the last one stops nobody.
    """
    most = num_rungs
    halvings = [most - bracket for bracket in range(num_rungs + 1)]
    return tuple(-(-(most + 1) * eta**count // (count + 1)) for count in halvings)


def bracket_of(number: int, num_rungs: int, eta: int) -> int:
    """Return the bracket of a trial, from its number alone; each stretch of trials has its share of all brackets."""
    order = _round(num_rungs, eta)
    return order[number % len(order)]


@lru_cache(maxsize=16)
def _round(num_rungs: int, eta: int) -> tuple[int, ...]:
    """Return the brackets of the trials of a round, each spread evenly over it."""
    places = [
        ((place + 0.5) / size, bracket)
        for bracket, size in enumerate(bracket_sizes(num_rungs, eta))
        for place in range(size)
    ]
    return tuple(bracket for _, bracket in sorted(places))
