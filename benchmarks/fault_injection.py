"""Searches that are killed, interrupted and starved: is anything lost, done twice, or another than undisturbed?

    python -m benchmarks.fault_injection --kills 40 --out docs/results
    python -m benchmarks.fault_injection --kills 12 --halving promotion --out docs/results

Real searches: the digits of ``examples/digits.yaml`` with short trainings, two trials at once, ``reproducible: true``.
A stage or trial may be killed four times before it counts as failed. One search runs undisturbed. The others are
disturbed at seeded times, resumed, disturbed again, and at last left to end. Then their trials are held against those
of the first, ``prunefront doctor`` holds log, artifacts and MLflow against each other, and nothing that the timeline
says was finished may have run again. A full disk needs root, for a small file system of its own, and a restart of
PostgreSQL needs its server.

Halving decides by the order in which trials come to their rungs, which faults change: such a search must have as many
trials, and those that the undisturbed one trained to the end, too, must have its scores.

Writes fault-injection.json and fault-injection.md after each search (with ``--halving``: fault-injection-RULE). The
same line goes on where it was stopped, if an undisturbed search still comes to the same on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.fault_injection_page import FAULTS_PER_SEARCH, NO_HALVING, render
from benchmarks.faults import FAULTS, Driver, MlflowServer
from benchmarks.machine import describe_machine
from benchmarks.postgresql_server import PostgresqlServer, why_no_server
from reports.fronts import find_front
from reports.records import StudyRecords, TrialStatus
from search.early_stopping.halving import HALVINGS
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.timeline import read_timeline

SPEC = Path(__file__).parents[1] / "examples" / "digits.yaml"
STUDY = "disturbed"
SHORT = (
    *("run.dense_training.epochs=4", "run.saliency.predictor.epochs=1", "run.saliency.selector.epochs=1"),
    *("run.gates.steps=12", "limits.trials=16", "resources.slots=2"),
    *(f"study={STUDY}", "limits.max_failures=4"),
)
_DISK = "48M"
_EXPECTED = {0, 2, 130, -9}  # ended, told that the disk is full, interrupted, killed


_ALONE = ("disk full", "MLflow server killed", "PostgreSQL restarted")
"""Faults of something that a search has for itself."""

_SURVIVED = ("worker killed", "MLflow writer killed", "MLflow server killed")
"""Faults that a driver gets over: the next one comes while it goes on."""
_PATIENCE_S = 40.0

Server: TypeAlias = MlflowServer | PostgresqlServer


def search_commands(root: Path, server: Server | None, rule: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what launches a search, and what resumes it."""
    where = [f"storage.path={root}", *_stopped_early_by(rule)]
    if isinstance(server, MlflowServer):
        where.append(f"storage.mlflow={server.address}")
    elif isinstance(server, PostgresqlServer):
        where.append(f"storage.optuna={server.url(STUDY)}")
    return ("launch", str(SPEC), *SHORT, *where), ("resume", STUDY, "--storage", str(root))


def _stopped_early_by(rule: str) -> tuple[str, ...]:
    if rule == NO_HALVING:
        return ("run.fine_tuning.epochs=2", "reproducible=true")
    return ("run.fine_tuning.epochs=4", f"halving.rule={rule}", "halving.eta=2", "sampler.name=random")


def disturb(
    root: Path, kinds: Sequence[str], seed: int, server: Server | None, log: Path, rule: str = NO_HALVING
) -> list[dict[str, Any]]:
    """Run a search to its end through faults, one after another; return what happened at each."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    launch, resume = search_commands(root, server, rule)
    folder = StudyFolder(root, STUDY)
    driver: Driver | None = None
    happened: list[dict[str, Any]] = []
    for kind in kinds:
        if driver is None or driver.process.poll() is not None:
            driver = Driver(resume if folder.exists else launch, root, log, server)
        moment = _wait_for_a_moment(driver, folder, rng)
        in_time = driver.process.poll() is None and FAULTS[kind](driver, rng)
        status = driver.wait(0.0 if kind in _SURVIVED and in_time else _PATIENCE_S)
        if status is not None and status not in _EXPECTED:
            print(
                f"seed {seed}, {kind}: exit status {status}\n{log.read_text()[-3000:]}",
                file=sys.stderr,
                flush=True,
            )
        happened.append(
            {"fault": kind, "seed": seed, "in_time": in_time, "ended_trials": moment, "exit_status": status}
        )
    if driver is not None:
        driver.wait()
    driver = Driver(resume if folder.exists else launch, root, log, server)
    if driver.wait() != 0:
        raise SystemExit(f"the last `resume` of seed {seed} failed; see {log}")
    return happened


def _wait_for_a_moment(driver: Driver, folder: StudyFolder, rng: random.Random) -> int:
    """Wait until some more trials have ended, and a moment longer; return how many have."""
    seen = _num_ended(folder)
    wanted, delay_s = seen + rng.randrange(0, 4), rng.uniform(0.0, 3.0)
    while driver.process.poll() is None and (
        not folder.timeline_path.exists() or _num_ended(folder) < wanted
    ):
        time.sleep(0.05)
    give_up_at = time.monotonic() + delay_s
    while driver.process.poll() is None and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return _num_ended(folder)


def _num_ended(folder: StudyFolder) -> int:
    if not folder.timeline_path.exists():
        return 0
    return sum(event.get("kind") == "trial" for event in read_timeline(folder.timeline_path))


def compare(
    root: Path, reference: Mapping[int, Any], front: Sequence[int], rule: str = NO_HALVING
) -> dict[str, Any]:
    """Count what is wrong with a study that was disturbed."""
    folder = StudyFolder(root, STUDY)
    study = read_study(folder)
    trials = trials_of(study)
    runs = Counter(
        (event["key"], event.get("until"))
        for event in read_timeline(folder.timeline_path)
        if event["event"] == "item" and event["status"] == "complete"
    )
    examined = subprocess.run(  # noqa: S603 - no shell
        (
            *(sys.executable, "-c", "from search.cli import main; main()"),
            *("doctor", STUDY, "--json", "--storage", str(root)),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    findings = json.loads(examined.stdout)["findings"]
    comparable = set(trials) & set(reference)
    if rule != NO_HALVING:
        comparable = {number for number in comparable if _ended_alike(trials[number], reference[number])}
    return {
        "lost": len(set(reference) - set(trials)),
        "additional": len(set(trials) - set(reference)),
        "compared": len(comparable),
        "different": sum(trials[number] != reference[number] for number in comparable),
        "running": sum(record.status is TrialStatus.RUNNING for record in study.records),
        "run_twice": sum(count - 1 for count in runs.values()),
        "front_is_the_same": front_of(study) == list(front),
        "doctor": [f"{one['check']}: {one['problem']}" for one in findings],
    }


def _ended_alike(one: tuple[str, Any, Any], other: tuple[str, Any, Any]) -> bool:
    """Tell whether two trials are of one configuration and were both trained to the end."""
    return one[0] == other[0] == TrialStatus.COMPLETE.value and one[1] == other[1]


def trials_of(study: StudyRecords) -> dict[int, Any]:
    """Return what each trial tried and came to, without times."""
    return {
        record.number: (
            record.status.value,
            record.trial_key,
            None if record.scores is None else record.scores.model_dump(mode="json"),
        )
        for record in study.records
    }


def front_of(study: StudyRecords) -> list[int]:
    """Return the numbers of the trials on the front."""
    return sorted(record.number for record in find_front(study).members)


def plan_searches(num_kills: int, kinds: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Deal out the faults to searches: seeds with what happens to each; those of ``_ALONE`` stay alone."""
    dealt = [kinds[index % len(kinds)] for index in range(num_kills)]
    alone = [kind for kind in dealt if kind in _ALONE]
    others = [kind for kind in dealt if kind not in alone]
    seed = 0
    for kind in _ALONE:
        same = [one for one in alone if one == kind]
        for start in range(0, len(same), FAULTS_PER_SEARCH):
            yield seed, same[start : start + FAULTS_PER_SEARCH]
            seed += 1
    random.Random(0).shuffle(others)  # noqa: S311 - no secret
    for start in range(0, len(others), FAULTS_PER_SEARCH):
        yield seed, others[start : start + FAULTS_PER_SEARCH]
        seed += 1


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Lend a file system of a few megabytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)], check=True)  # noqa: S603, S607
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--halving", choices=list(HALVINGS), default=NO_HALVING, help="rule of the searches")
    parser.add_argument("--port", type=int, default=5151, help="of MLflow's server")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(argv)
    kinds = [kind for kind in args.faults if _is_possible(kind)]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "undisturbed" / "results"
        root.parent.mkdir()
        launch, _ = search_commands(root, None, args.halving)
        if Driver(launch, root, root.parent / "driver.log", None).wait() != 0:
            raise SystemExit((root.parent / "driver.log").read_text(encoding="utf-8"))
        study = read_study(StudyFolder(root, STUDY))
        reference, front = trials_of(study), front_of(study)
        about: dict[str, Any] = {"num_trials": len(reference)}
        if args.halving == NO_HALVING:
            about |= {"front": front, "digest": _digest(reference)}
        results = _known(_json_of(args), about)
        for seed, dealt in plan_searches(args.kills, kinds):
            if [seed, dealt] in [[one["seed"], one["dealt"]] for one in results]:
                continue
            found = _one_search(Path(scratch) / f"seed-{seed}", seed, dealt, args, reference, front)
            results.append({"seed": seed, "dealt": dealt, **found})
            print(json.dumps(results[-1]), flush=True)
            _write(args, results, about)


def _is_possible(kind: str) -> bool:
    if kind == "PostgreSQL restarted":
        return why_no_server() is None
    return kind != "disk full" or os.geteuid() == 0


def _digest(reference: Mapping[int, Any]) -> str:
    return hashlib.sha256(json.dumps(reference, sort_keys=True).encode()).hexdigest()


def _json_of(args: argparse.Namespace) -> Path:
    name = "fault-injection" if args.halving == NO_HALVING else f"fault-injection-{args.halving}"
    return Path(args.out) / f"{name}.json"


def _known(path: Path, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the searches that were disturbed before, if what they were held against has not changed."""
    if not path.is_file():
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    searches: list[dict[str, Any]] = before["searches"]
    return searches if before["reference"] == about else []


def _write(
    args: argparse.Namespace, results: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]
) -> None:
    path = _json_of(args)
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = describe_machine("cpu", 1)
    plain = {"machine": machine, "reference": reference, "searches": results}
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    command = f"--kills {args.kills}" + (f" --halving {args.halving}" if args.halving != NO_HALVING else "")
    path.with_suffix(".md").write_text(render(results, command, machine, args.halving), encoding="utf-8")


def _one_search(
    folder: Path,
    seed: int,
    dealt: Sequence[str],
    args: argparse.Namespace,
    reference: Mapping[int, Any],
    front: Sequence[int],
) -> dict[str, Any]:
    with ExitStack() as stack:
        if "disk full" in dealt:
            stack.enter_context(small_disk(folder))
        else:
            folder.mkdir()
        server = stack.enter_context(_server(dealt[0], folder, args.port))
        root = folder / "results"
        faults = disturb(root, dealt, seed, server, folder.with_suffix(".log"), args.halving)
        return {"faults": faults, "found": compare(root, reference, front, args.halving)}


@contextmanager
def _server(kind: str, folder: Path, port: int) -> Iterator[Server | None]:
    """Lend the server that a search has for itself, because of what is done to it."""
    if kind == "MLflow server killed":
        mlflow = MlflowServer(folder, port)
        mlflow.start()
        try:
            yield mlflow
        finally:
            mlflow.kill()
    elif kind == "PostgreSQL restarted":
        database = PostgresqlServer()
        try:
            database.start()
            database.execute(f"CREATE DATABASE {STUDY}")
            yield database
        finally:
            database.remove()
    else:
        yield None


if __name__ == "__main__":
    main()
