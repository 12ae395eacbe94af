"""What is wrong with a spec is told in one line that helps."""

import re
from pathlib import Path

import pytest

from pruning_core.errors import InvalidSettingsError
from search.spec import load_spec
from tests.search_tests.spec_text import SPEC, load


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "spec.yaml: must be a YAML mapping such as 'study: my-search', but got an empty file"),
        ("- a\n", "must be a YAML mapping .*but got list"),
        ("a: b: c\n", "spec.yaml:1: must be YAML"),
        ("study: a\n\t- b\n", "spec.yaml:2: must be YAML"),
        ("study: a\n---\nstudy: b\n", "must be YAML, but: .*another document"),
        ("study: 2026-13-45\n", "must be YAML, but: month must be in 1..12"),
        (SPEC + "study: b\n", "spec.yaml:7: 'study' must be given once, but is on line 1 already"),
        (SPEC + "3: b\n", "spec.yaml:7: keys must be text, but got '3'; put it in quotes"),
        ("search: {seed: {choices: [1]}}\n", "spec.yaml: 'study': field required"),
        ("study: tiny\n", "spec.yaml: 'search': field required"),
        ("study: tiny\nsearch: {}\n", "spec.yaml:2: 'search': at least one field must vary"),
        (
            SPEC + "typo: 1\n",
            "spec.yaml:7: 'typo': unknown key. Known keys there: constraints, designs, first,",
        ),
        (SPEC + "limit: {trials: 2}\n", "spec.yaml:7: 'limit': unknown key. Did you mean limits?"),
        (SPEC + "limits: {trials: 0}\n", "'limits.trials': .*greater than or equal to 1, but got 0"),
        (SPEC + "limits: {trails: 2}\n", "'limits.trails': unknown key. Did you mean trials"),
        (SPEC + "resources: {slots: 0}\n", "'resources.slots': .*but got 0"),
        (SPEC.replace("seed: 1", "sed: 1"), "spec.yaml:3: 'run.sed': unknown key. Did you mean seed?"),
        (SPEC.replace("seed: 1", "budgets: {macs: 1.5}"), "spec.yaml:3: 'run.budgets.macs': .*but got 1.5"),
        (SPEC.replace("low: 0.3", "low: 0"), "spec.yaml:5: 'search.budgets.macs': 0 is not allowed"),
        (SPEC.replace("[1, 2, 4]", "[1, 8]"), "spec.yaml:6: 'search.saliency.num_basis': 8 is not allowed"),
        (
            SPEC.replace("choices", "choice"),
            "spec.yaml:6: 'search.saliency.num_basis.choice': unknown key. Did you",
        ),
        (SPEC.replace("num_basis", "num_bases"), "spec.yaml:6: .*Did you mean saliency.num_basis"),
        (
            SPEC + "sampler: {name: cmaes}\n",
            "unknown sampler 'cmaes'. Known samplers: along_front, auto, gp, known_costs, nsga2, nsga3, qmc, "
            "random, tpe",
        ),
        (
            SPEC + "scheduler: {name: fifo}\n",
            "spec.yaml:7: 'scheduler': trials are stopped early by halving.rule .none, all, stopping, promotion, "
            "hyperband., but got .'name': 'fifo'.",
        ),
        (
            SPEC + "halving: {rule: asha}\n",
            "spec.yaml:7: 'halving.rule': unknown rule 'asha'. Known rules: none, all",
        ),
        (
            SPEC + "halving: {rule: stopping, eta: 1}\n",
            "'halving.eta': .*greater than or equal to 2, but got 1",
        ),
        (
            SPEC + "halving: {min_epochs: 2}\n",
            "'halving.min_epochs': has no effect while halving.rule is none; choose a rule",
        ),
        (
            SPEC + "halving: {rule: stopping, rungs: [1], min_epochs: 2}\n",
            "'halving.min_epochs': has no effect beside halving.rungs; set one of them",
        ),
        (
            SPEC + "halving: {rule: stopping, rungs: [3, 1]}\n",
            "'halving.rungs': must be epochs in ascending order, at least one, but got .3, 1.",
        ),
        (
            SPEC + "halving: {rule: stopping, rungs: [3, 10]}\n",
            "'halving.rungs': must be below the 10 epochs of run.fine_tuning, but got .3, 10.",
        ),
        (
            SPEC + "halving: {rule: stopping, min_epochs: 12}\n",
            "'halving.min_epochs': must be below the 10 epochs of run.fine_tuning, but got 12",
        ),
        (
            SPEC + "  fine_tuning.epochs: {choices: [5, 10]}\nhalving: {rule: stopping}\n",
            "'halving.rule': compares trials after equal parts of equal trainings, so search.fine_tuning.epochs must",
        ),
        (
            SPEC + "storage: {optuna: 'sqlite:///db'}\n",
            "'storage.optuna': must be null .a journal file. or postgresql.psycopg://USER@HOST:PORT/DATABASE, but got "
            "sqlite://",
        ),
        (
            SPEC + "storage: {artifacts: shared}\n",
            "'storage.artifacts': must be the absolute path of a shared folder, file:///PATH, s3://BUCKET/PREFIX",
        ),
        (
            SPEC + "storage: {artifacts: 's3://me:secret@b/p'}\n",
            "'storage.artifacts': must hold no credentials",
        ),
        (SPEC + "storage: {artifacts: 'ftp://host/p'}\n", "but got the scheme 'ftp'"),
        (SPEC + "storage: {mlflow: mlruns}\n", "'storage.mlflow': must be the address of an MLflow server"),
        (
            SPEC + "objectives: {accuracy: maximize, latency_ms: minimize}\n",
            "spec.yaml:7: 'objectives.latency_ms': is known only of networks with a budget on it; set run.budgets",
        ),
        (
            SPEC + "objectives: {accuracy: maximize, size: minimize}\n",
            "unknown quantity; known are accuracy, macs",
        ),
        (
            SPEC + "objectives: {accuracy: minimize, macs: minimize}\n",
            "'objectives.accuracy': must be maximize",
        ),
        (
            SPEC + "objectives: {accuracy: maximize}\n",
            "must hold accuracy and at least one of macs, params, activation_memory, latency_ms",
        ),
        (SPEC + "objectives: {macs: minimize, params: minimize}\n", "must hold accuracy and at least"),
        (
            SPEC + "constraints: {latency_ms: '<= 2.0'}\n",
            "'constraints.latency_ms': is known only of networks with a budget on it; set run.budgets.latency_ms",
        ),
        (SPEC + "constraints: {params: '>= 2K'}\n", "'constraints.params': must look like <= 0.3M .*'>= 2K'"),
        (SPEC + "constraints: {params: 2}\n", "'constraints.params': must look like <= 0.3M .*but got '2'"),
        (SPEC + "constraints: {accuracy: '>= 90'}\n", "an accuracy is a share in .0, 1. or a percentage"),
        (SPEC + "constraints: {accuracy: '<= 90%'}\n", "must look like >= 90%, but got"),
        (
            SPEC.replace(
                "  budgets.macs:", "  gates.steps: {low: 1, high: 9, when: {method: l1}}\n  budgets.macs:"
            ),
            "spec.yaml:5: 'search.gates.steps.when': must name fields that vary, but method does not",
        ),
        (SPEC + "first: [{budgets.macs: 0.9}]\n", "spec.yaml:7: 'first.0': 'budgets.macs' must be between"),
        (
            SPEC + "first:\n- {budgets.macs: 0.5}\n- {seed: 1}\n",
            "spec.yaml:9: 'first.1': 'seed' does not vary",
        ),
    ],
)
def test_a_problem_in_the_file_is_told_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidSettingsError, match=problem) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "spec.yaml") in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", ".hidden", "artifacts", "MLRUNS", "x" * 101])
def test_a_study_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSettingsError, match="'study': must"):
        load(tmp_path, SPEC.replace("tiny", f"'{name}'"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"missing.yaml: .*readable file, but: No such file"):
        load_spec(tmp_path / "missing.yaml")
    with pytest.raises(InvalidSettingsError, match="readable file, but: Is a directory"):
        load_spec(tmp_path)
    (tmp_path / "spec.yaml").write_bytes(b"study: \xff\n")
    with pytest.raises(InvalidSettingsError, match="must be UTF-8 text"):
        load_spec(tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        (
            "cpus_per_trial: 1",
            "'resources.cpus_per_trial': must be at least the 2 of processes_per_trial, but got 1",
        ),
        (
            "cpus_per_trial: 2, gpus_per_trial: 0.5",
            "'resources.gpus_per_trial': must be 0 or 2, one for each of",
        ),
        ("cpus_per_trial: 2, gpus_per_trial: 3", "but got 3"),
    ],
)
def test_processes_of_a_trial_need_cpus_and_a_gpu_each(tmp_path: Path, resources: str, problem: str) -> None:
    with pytest.raises(InvalidSettingsError, match=re.escape(problem)):
        load(tmp_path, SPEC + f"resources: {{processes_per_trial: 2, {resources}}}\n")


@pytest.mark.parametrize("gpus", ["1.5", "0.00004"])
def test_gpus_of_a_trial_are_a_share_of_one_or_whole(tmp_path: Path, gpus: str) -> None:
    problem = (
        r"'resources\.gpus_per_trial': must be 0, a share of one GPU \(from 0\.0001 to 1\) or a whole number"
    )
    with pytest.raises(InvalidSettingsError, match=problem):
        load(tmp_path, SPEC + f"resources: {{gpus_per_trial: {gpus}}}\n")


@pytest.mark.parametrize("gpus", [0, 0.0001, 1 / 3, 0.5, 1, 4])
def test_gpus_of_a_trial_that_ray_can_lend(tmp_path: Path, gpus: float) -> None:
    spec = load(tmp_path, SPEC + f"resources: {{gpus_per_trial: {gpus:.4f}}}\n")
    assert spec.resources.gpus_per_trial == pytest.approx(gpus, abs=1e-4)


def test_batches_must_divide_between_the_processes_of_a_trial(tmp_path: Path) -> None:
    resources = "resources: {processes_per_trial: 3, cpus_per_trial: 3}\n"
    problem = re.escape(
        "'run.dense_training.batch_size': must be a multiple of the 3 of resources.processes_per_trial"
    )
    with pytest.raises(InvalidSettingsError, match=problem):
        load(tmp_path, SPEC + resources)


def test_a_seed_is_either_searched_or_spent_on_repeats(tmp_path: Path) -> None:
    more = "  seed: {choices: [1, 2]}\nsampler: {duplicates: new_seed}\n"
    with pytest.raises(
        InvalidSettingsError, match=r"'sampler\.duplicates': new_seed sets the seed of repeated"
    ):
        load(tmp_path, SPEC + more)


def test_rungs_are_of_one_process(tmp_path: Path) -> None:
    more = "resources: {processes_per_trial: 2, cpus_per_trial: 2}\nhalving: {rule: stopping}\n"
    with pytest.raises(InvalidSettingsError, match=r"'halving\.rule': a rung keeps the state of one process"):
        load(tmp_path, SPEC + more)
