"""Record what configurations of a search score at every rung, for replays (`benchmarks.replay`).

    python -m benchmarks.record_rungs SPEC.yaml --configurations 200 --out runs.jsonl storage.path=DIR

Runs a search of its own, named like the spec's with ``-recorded`` behind it: configurations are drawn at random, each
is trained to its end, and every rung of ``halving`` (1, ``eta``, ``eta**2``, ... epochs if the spec says nothing) is
measured on the way. Type the same line again after Ctrl-C, or with more configurations: what is finished is kept.
"""

from __future__ import annotations

import argparse
import platform
import shlex
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from pruning_core.errors import InvalidSettingsError
from search.driver import run_search
from search.replay.recording import record_study, write_recording
from search.spec import SearchSpec, load_spec
from search.study_folder import StudyFolder
from search.study_records import read_study

__all__ = ["main", "recording_spec"]


def recording_spec(path: Path, overrides: Sequence[str], *, configurations: int, sampler: str) -> SearchSpec:
    """Return the spec of the search that records another one's."""
    given = load_spec(path, overrides)
    changes = (
        f"study={given.study}-recorded",
        "halving.rule=all",
        f"sampler.name={sampler}",
        f"limits.trials={configurations}",
    )
    return load_spec(path, [*overrides, *changes])


def main(argv: Sequence[str] | None = None, engine: Callable[..., object] = run_search) -> None:
    """Run what is missing, then write the recording.

    Raises:
        PrunefrontError: The spec cannot be used, or does not fit what was recorded before.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spec", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--configurations", type=int, required=True)
    parser.add_argument("--sampler", default="random", help="what draws them (default: random)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_intermixed_args(argv)
    spec = recording_spec(
        options.spec, options.overrides, configurations=options.configurations, sampler=options.sampler
    )
    folder = StudyFolder(Path(spec.storage.path), spec.study)
    if folder.exists:
        _check_same(spec, load_spec(folder.spec_path))
    engine(spec, folder, resume=folder.exists, console=Console())
    line = ["python", "-m", "benchmarks.record_rungs", str(options.spec), *options.overrides]
    line += ["--configurations", str(options.configurations), "--sampler", options.sampler]
    study = read_study(folder)
    recording = record_study(
        spec,
        study.records,
        command=shlex.join(line),
        version=version("prunefront"),
        facts={"machine": platform.machine(), **study.machine},
    )
    write_recording(recording, options.out)
    print(f"{len(recording.runs)} configurations at epochs {list(recording.epochs)}: {options.out}")


def _check_same(spec: SearchSpec, before: SearchSpec) -> None:
    if spec.model_copy(update={"limits": before.limits}) != before:
        raise InvalidSettingsError(
            f"a recording that goes on must have the spec it began with, but that of study {spec.study!r} differs; "
            "give the study another name"
        )


if __name__ == "__main__":
    main()
