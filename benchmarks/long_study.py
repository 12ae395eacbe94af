"""How long `report` and `pick` take on a long study.

    python -m benchmarks.long_study --trials 10000 --out docs/results

Writes a study of made-up trials as a search leaves it (its journal, nothing else), runs the commands on it as processes
of their own, three times each, and prints the least seconds until the answer stands there and until the command ends,
and of CPU time, with those of a study of one trial beside them: what is left is the trials'. There are no networks in
it, so no gallery is drawn and no test images are looked at. ``report`` names its files as soon as they are written and
then logs them to MLflow, whose database the first run makes. Writes long-study.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from benchmarks.machine import describe_machine
from reports.records import NetworkScores, TrialRecord, TrialStatus
from search.spec import SearchSpec, dump_spec, load_spec
from search.studies.folder import StudyFolder

_STUDY = "long"
_SPEC = f"""\
study: {_STUDY}
run: {{architecture: {{name: cifar_resnet20}}}}
search:
  budgets.macs: {{low: 0.06, high: 0.6, log: true}}
  method: {{choices: [task_inspired, taylor, l1]}}
  importance.allocation: {{choices: [uniform, global]}}
sampler: {{name: random}}
"""
_COMMANDS = {"report": ("report", _STUDY, "--no-gallery"), "pick": ("pick", _STUDY, "--knee", "--no-test")}
_PAGE = """\
# Long studies

    python -m benchmarks.long_study --trials {trials} --repeats {repeats}

Commands as processes of their own, the least of {repeats} runs each, in seconds: until the first line of the answer,
until the end, and of CPU time. `report --no-gallery` answers when all files are written (target of 10,000 trials: 10 s)
and then logs them to MLflow; `pick --knee --no-test` (target: 2 s) looks at no images.

| trials | command | answer after | end after | CPU |
|---|---|---|---|---|
{rows}

Machine: {machine}.
"""
_DENSE_MACS, _DENSE_PARAMS = 40_813_184, 272_474
_START = 1_790_000_000.0


def make_record(
    spec: SearchSpec, number: int, varied: Mapping[str, Any], rng: np.random.Generator
) -> TrialRecord:
    """Make up a complete trial: accuracy by a law of the share kept and of the method, plus noise."""
    share, method = varied["budgets.macs"], varied["method"]
    loss = {"task_inspired": 0.10, "taylor": 0.12, "l1": 0.15}[method] * (1 - share) ** 3
    correct = round(5000 * (0.92 - loss - abs(rng.normal(0, 0.006))))
    started = _START + 30.0 * number
    return TrialRecord(
        study=spec.study,
        number=number,
        trial_key=f"{number:016x}",
        status=TrialStatus.COMPLETE,
        method=method,
        seed=0,
        config=spec.make_config(varied).model_dump(mode="json"),
        varied=dict(varied),
        scores=NetworkScores(
            num_images=5000,
            num_correct_dense=4612,
            num_correct_after_removal=correct // 2,
            num_correct_fine_tuned=correct,
            macs=round(share * _DENSE_MACS),
            params=round(share * _DENSE_PARAMS * rng.uniform(0.7, 1.3)),
            dense_macs=_DENSE_MACS,
            dense_params=_DENSE_PARAMS,
        ),
        limits={"macs": round(share * _DENSE_MACS)},
        kept={f"layer{stage}.{block}.conv1": (8, 8 * 2**stage) for stage in (1, 2, 3) for block in range(3)},
        stage_seconds={"allocate": 2.0, "fine_tune": float(rng.uniform(10, 30))},
        started_at=started,
        finished_at=started + 40.0,
        artifact_keys={"fine_tune": f"{number:016x}"},
    )


def write_study(root: Path, num_trials: int) -> None:
    """Write the journal of a study with so many trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = root / "long.yaml"
    path.write_text(_SPEC, encoding="utf-8")
    spec = load_spec(path)
    folder = StudyFolder(root, spec.study)
    folder.create(dump_spec(spec))
    lines = _Lines()
    study = optuna.create_study(
        study_name=spec.study,
        storage=JournalStorage(lines),
        directions=[direction.value for direction in spec.objectives.values()],
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for name, value in {"id": "0", "created_at": _START, "version": "0", "machine": {}, "facts": {}}.items():
        study.set_user_attr(name, value)
    rng = np.random.default_rng(0)
    for number in range(num_trials):
        trial = study.ask(dict(spec.space.distributions))
        record = make_record(spec, number, trial.params, rng)
        assert record.scores is not None
        trial.set_user_attr("values", dict(record.varied))
        trial.set_user_attr("record", record.model_dump(mode="json"))
        study.tell(trial, [record.scores.accuracy, record.scores.macs, record.scores.params])
    folder.journal_path.write_text("".join(f"{line}\n" for line in lines.written), encoding="utf-8")


class _Lines(BaseJournalBackend):
    """Optuna's log in memory: on disk every operation of 10,000 trials would be waited for."""

    def __init__(self) -> None:
        self._operations: list[dict[str, Any]] = []
        self.written: list[str] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the operations from a number on."""
        return self._operations[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep operations, and the lines that Optuna's file would hold."""
        self._operations += logs
        self.written += [json.dumps(log, separators=(",", ":")) for log in logs]


def time_command(arguments: tuple[str, ...], root: Path) -> tuple[float, float, float]:
    """Run a command of prunefront and return its seconds until the first line, until its end, and of CPU time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [
        sys.executable,
        "-c",
        "from search.cli import main; main()",
        *arguments,
        "--storage",
        str(root),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        process.stdout.readline()
        answered = time.perf_counter() - start
        process.communicate()
    if process.returncode:
        raise SystemExit(
            f"`prunefront {' '.join(arguments)}` must end with 0, but ended with {process.returncode}"
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return answered, time.perf_counter() - start, cpu


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    rows = []
    for num_trials in (1, asked.trials):
        with tempfile.TemporaryDirectory() as folder:
            write_study(Path(folder), num_trials)
            for name, arguments in _COMMANDS.items():
                runs = [time_command(arguments, Path(folder)) for _ in range(asked.repeats)]
                answered, wall, cpu = (min(column) for column in zip(*runs, strict=True))
                rows.append(f"| {num_trials:,} | `{name}` | {answered:.1f} | {wall:.1f} | {cpu:.1f} |")
                print(rows[-1], flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    page = _PAGE.format(
        trials=asked.trials,
        repeats=asked.repeats,
        rows="\n".join(rows),
        machine=describe_machine("cpu", 1),
    )
    (asked.out / "long-study.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
