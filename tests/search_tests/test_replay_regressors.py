"""Models of replayed figures, and which of them is taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from search.replay.regressors import Forest, Processes

Floats = NDArray[np.float64]

RNG = np.random.default_rng(0)
SEEN, UNSEEN = RNG.random((60, 4)), RNG.random((40, 4))


def smooth(features: Floats) -> Floats:
    return np.column_stack([np.sin(3 * features[:, 0]) + features[:, 1], features[:, 2] ** 2])


def in_steps(features: Floats) -> Floats:
    return np.column_stack([features[:, 0] > 0.5, features[:, 1] > 0.3]).astype(np.float64)


@pytest.mark.parametrize("kind", [Forest, Processes])
def test_the_same_seed_predicts_the_same(kind: type[Forest] | type[Processes]) -> None:
    first, again = (kind(3).fit(SEEN, smooth(SEEN)).predict(UNSEEN) for _ in range(2))
    assert first.shape == (40, 2)
    assert np.array_equal(first, again)


def test_processes_find_a_smooth_function_and_forests_one_in_steps() -> None:
    def error(kind: type[Forest] | type[Processes], function: Callable[[Floats], Floats]) -> float:
        predicted = kind(0).fit(SEEN, function(SEEN)).predict(UNSEEN)
        return float(np.abs(predicted - function(UNSEEN)).mean())

    assert error(Processes, smooth) < 0.02 < error(Forest, smooth)
    assert error(Forest, in_steps) < error(Processes, in_steps)


def test_what_a_first_fit_found_is_kept_in_later_ones() -> None:
    whole = Processes(0).fit(SEEN, smooth(SEEN))
    alone = Processes(0).fit(SEEN[:6], smooth(SEEN[:6])).predict(UNSEEN)
    folded = whole.fit(SEEN[:6], smooth(SEEN[:6])).predict(UNSEEN)
    true = smooth(UNSEEN)
    assert np.abs(folded - true).mean() < np.abs(alone - true).mean()
    back = whole.fit(SEEN, smooth(SEEN)).predict(SEEN)
    assert back == pytest.approx(smooth(SEEN), abs=0.05)
