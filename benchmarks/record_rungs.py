"""Record what configurations of a search score at every rung, for replays (`benchmarks.replay`).

    python -m benchmarks.record_rungs SPEC.yaml --configurations 200 --out runs.jsonl storage.path=DIR

Runs a search of its own, named like the spec's with ``-recorded`` behind it: configurations are drawn at random, each
is trained to its end, and every rung of ``halving`` (1, ``eta``, ``eta**2``, ... epochs if the spec says nothing) is
measured on the way. Type the same line again after Ctrl-C, or with more configurations: what is finished is kept.

A recording can be made in parts, at other times and elsewhere: each draws under a ``--seed`` of its own, and adds to
the file what it lacks. So that all of it is of one dense network, ``--stages`` names a folder that shared stages are
taken from, and put into.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from pruning_core.errors import InvalidSettingsError
from search.driver import run_search
from search.replay.recording import Recording, read_recording, record_study, write_recording
from search.spec import SearchSpec, load_spec
from search.spec_settings import StorageConfig
from search.studies.folder import StudyFolder
from search.studies.records import read_study

__all__ = ["copy_stages", "join", "main", "recording_spec"]

_SHARED = ("dense", "predictor", "selector", "explanations", "importance", "sensitivity")


def recording_spec(
    path: Path, overrides: Sequence[str], *, configurations: int, sampler: str, seed: int
) -> SearchSpec:
    """Return the spec of the search that records another one's."""
    given = load_spec(path, overrides)
    changes = (
        f"study={given.study}-recorded{f'-{seed}' if seed else ''}",
        "halving.rule=all",
        f"sampler.name={sampler}",
        f"sampler.seed={seed}",
        f"limits.trials={configurations}",
    )
    return load_spec(path, [*overrides, *changes])


def join(before: Recording, now: Recording) -> Recording:
    """Return a recording with the runs of an earlier part in front.

    Raises:
        InvalidSettingsError: They are not of one search.
    """
    if _what_was_searched(before.spec) != _what_was_searched(now.spec):
        raise InvalidSettingsError(
            "all parts of a recording must have one spec, but that of the file differs; name another file with --out"
        )
    known = [run.values for run in before.runs]
    added = [run for run in now.runs if run.values not in known]
    commands = dict.fromkeys([*before.command.splitlines(), now.command])
    return replace(now, spec=before.spec, runs=(*before.runs, *added), command="\n".join(commands))


def without_places(spec: SearchSpec) -> SearchSpec:
    """Return the spec without the folders of the machine it ran on: a recording is for others."""
    root = spec.run.dataset.root
    dataset = spec.run.dataset.model_copy(update={"root": None if root is None else Path(root).name})
    run = spec.run.model_copy(update={"dataset": dataset})
    return spec.model_copy(update={"run": run, "storage": StorageConfig(), "plug_ins": None})


def _what_was_searched(spec: SearchSpec) -> dict[str, object]:
    return spec.model_dump(mode="json", exclude={"study", "sampler", "limits", "storage", "resources"})


def copy_stages(source: Path, target: Path, keys: Collection[str] | None = None) -> None:
    """Copy finished stages from one folder of artifacts to another that lacks them; None: all of them."""
    for folder in source.glob("*/*/*"):
        place = target / folder.relative_to(source)
        if (keys is None or folder.name in keys) and not place.exists():
            shutil.copytree(folder, place)


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
    parser.add_argument("--seed", type=int, default=0, help="of this part of the recording (default: 0)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", type=Path, help="folder of shared stages to take and to leave")
    options = parser.parse_intermixed_args(argv)
    before = read_recording(options.out) if options.out.exists() else None
    spec = recording_spec(
        options.spec,
        options.overrides,
        configurations=options.configurations,
        sampler=options.sampler,
        seed=options.seed,
    )
    folder = StudyFolder(Path(spec.storage.path), spec.study)
    if folder.exists:
        _check_same(spec, load_spec(folder.spec_path))
    if options.stages is not None:
        copy_stages(options.stages, folder.artifacts_path)
    engine(spec, folder, resume=folder.exists, console=Console())
    line = ["python", "-m", "benchmarks.record_rungs", str(options.spec)]
    line += [
        one for one in options.overrides if one.split("=")[0] not in {"run.dataset.root", "storage.path"}
    ]
    line += ["--configurations", str(options.configurations), "--sampler", options.sampler]
    line += ["--seed", str(options.seed)]
    study = read_study(folder)
    recording = record_study(
        without_places(spec),
        study.records,
        command=shlex.join(line),
        version=version("prunefront"),
        facts={"machine": platform.machine(), **study.machine},
    )
    if before is not None:
        recording = join(before, recording)
    write_recording(recording, options.out)
    if options.stages is not None:
        found = {record.artifact_keys.get(kind) for record in study.records for kind in _SHARED}
        copy_stages(folder.artifacts_path, options.stages, {key for key in found if key is not None})
    print(f"{len(recording.runs)} configurations at epochs {list(recording.epochs)}: {options.out}")


def _check_same(spec: SearchSpec, before: SearchSpec) -> None:
    if spec.model_copy(update={"limits": before.limits}) != before:
        raise InvalidSettingsError(
            f"a recording that goes on must have the spec it began with, but that of study {spec.study!r} differs; "
            "give the study another name"
        )


if __name__ == "__main__":
    main()
