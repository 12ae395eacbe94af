"""Optuna's experimental parts are built without its warnings, which the tests turn into errors."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from optuna.exceptions import ExperimentalWarning

from search.sampling.experimental import experimental_allowed


def warn() -> None:
    warnings.warn("may change", ExperimentalWarning, stacklevel=2)


def test_the_warning_is_an_error_outside_and_silent_inside() -> None:
    with experimental_allowed():
        warn()
        with experimental_allowed():
            warn()
        warn()
    with pytest.raises(ExperimentalWarning, match="may change"):
        warn()


def test_a_thread_that_leaves_takes_no_other_s_permission_away() -> None:
    first_is_inside, second_is_inside, first_left = (threading.Event() for _ in range(3))

    def first() -> None:
        with experimental_allowed():
            first_is_inside.set()
            second_is_inside.wait(0.2)  # in vain, if they take turns
        first_left.set()

    def second() -> None:
        first_is_inside.wait(5)
        with experimental_allowed():
            second_is_inside.set()
            first_left.wait(5)
            warn()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result(timeout=20)
    with pytest.raises(ExperimentalWarning):
        warn()
