"""Optuna's experimental parts, used without its warnings: interfaces may move, but the version is pinned."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning

__all__ = ["experimental_allowed"]

_ONE_AT_A_TIME = threading.RLock()
"""Warning filters are the process's: of two threads that change them, the first to leave takes the other's away."""


@contextmanager
def experimental_allowed() -> Iterator[None]:
    """Build experimental parts inside; other threads that want to wait, one that has come here may come again."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
