"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["wait_for"]


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = 120.0) -> None:
    """Wait until something holds; the test fails if it takes too long."""
    give_up_at = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {patience_s:g} s for {what}"
        time.sleep(0.1)
