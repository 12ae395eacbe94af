"""A peer that walks through a grid of the space, one configuration at a time; or that fails as it is told to."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.peers.runners.pipe import Field, Pipe, Run


def value(field: Field, place: float) -> Any:
    if field["choices"] is not None:
        return field["choices"][round(place * (len(field["choices"]) - 1))]
    assert field["low"] is not None
    assert field["high"] is not None
    return field["low"] + place * (field["high"] - field["low"])


def walk(pipe: Pipe) -> list[Run]:
    now, runs = 0.0, list[Run]()
    while now < pipe.task["seconds"]:
        values = {field["name"]: value(field, 0.07 * len(runs)) for field in pipe.task["fields"]}
        ended = now + pipe.ask(values)[-1]["seconds"]
        runs.append(Run(values=values, begun=now, ended=ended))
        now = ended
    return runs


if __name__ == "__main__":
    pipe_ = Pipe()
    if sys.argv[1:] == ["exit"]:
        sys.exit()
    print("this goes to the error stream")
    if sys.argv[1:] == ["raise"]:
        raise RuntimeError("this peer cannot")
    if sys.argv[1:] == ["sleep"]:
        time.sleep(60)
    pipe_.finish(walk(pipe_))
