from __future__ import annotations

from collections import Counter

import pytest

from search.early_stopping.brackets import bracket_of, bracket_sizes


@pytest.mark.parametrize(
    ("num_rungs", "eta", "sizes"),
    [
        (4, 3, (81, 34, 15, 8, 5)),  # algorithm 1 of [Li2018] with R = 81
        (2, 3, (9, 5, 3)),
        (1, 2, (2, 2)),
    ],
)
def test_brackets_are_as_large_as_the_papers_algorithm_has_them(
    num_rungs: int, eta: int, sizes: tuple[int, ...]
) -> None:
    assert bracket_sizes(num_rungs, eta) == sizes


def test_each_stretch_of_trials_has_its_share_of_all_brackets() -> None:
    for start in (0, 5, 17, 100):
        counts = Counter(bracket_of(start + place, 2, 3) for place in range(17))
        assert counts == {0: 9, 1: 5, 2: 3}
    half = Counter(bracket_of(number, 2, 3) for number in range(9))
    assert half[0] in {4, 5}
    assert half[1] in {2, 3}
    assert half[2] in {1, 2}
