"""The spec: what it means, that it survives the study folder, and that every problem is one line that helps."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pruning_core.errors import InvalidSettingsError
from pruning_core.stage_keys import plan_run
from reports.objectives import Direction
from search.spec import SearchSpec, dump_spec, load_spec

SPEC = """\
study: tiny
run:
  seed: 1
search:
  budgets.macs: {low: 0.3, high: 0.8}
  saliency.num_basis: {choices: [1, 2, 4]}
"""


def load(folder: Path, text: str, *overrides: str) -> SearchSpec:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return load_spec(path, overrides)


def test_a_short_spec_has_the_documented_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC)
    assert spec.objectives == {
        "accuracy": Direction.MAXIMIZE,
        "macs": Direction.MINIMIZE,
        "params": Direction.MINIMIZE,
    }
    assert (spec.sampler.name, spec.halving.rule, spec.limits.trials) == ("auto", "none", 40)
    assert spec.rungs == ()
    assert spec.storage.path == "./results"
    assert list(spec.space.distributions) == ["budgets.macs", "saliency.num_basis"]


def test_a_searched_value_wins_over_the_runs_own(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC, "run.budgets={macs: 0.9, params: 0.7}")
    budgets = spec.make_config({"budgets.macs": 0.4}).budgets
    assert (str(budgets.macs), str(budgets.params)) == ("0.4", "0.7")


@pytest.mark.parametrize(
    "extra",
    [
        "",
        "constraints: {accuracy: '>= 90%', params: '<= 0.3M', macs: '<= 50%'}\n",
        "objectives: {accuracy: maximize, params: minimize}\n",
        "first: [{budgets.macs: 50%}, {saliency.num_basis: 2}]\nlimits: {hours: 0.5}\n",
        "halving: {rule: promotion, eta: 2, min_epochs: 2}\n",
        "halving: {rule: stopping, rungs: [2, 5]}\n",
        "sampler: {name: nsga2, seed: 3}\nresources: {slots: 2}\nstorage: {path: /tmp/elsewhere}\n",
    ],
)
def test_a_dumped_spec_reads_back_the_same(tmp_path: Path, extra: str) -> None:
    spec = load(tmp_path, SPEC + extra)
    again = load(tmp_path, dump_spec(spec))
    assert again == spec
    assert again.make_config({"budgets.macs": 0.4}) == spec.make_config({"budgets.macs": 0.4})


def test_a_default_budget_that_gave_way_still_gives_way_after_a_dump(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC.replace("budgets.macs", "budgets.params"))
    again = load(tmp_path, dump_spec(spec))
    assert again.make_config({"budgets.params": 0.4}).budgets.macs is None


def test_a_dumped_spec_writes_every_default_out(tmp_path: Path) -> None:
    text = dump_spec(load(tmp_path, SPEC))
    for key in ("dense_training:", "num_basis: 1", "trials: 40", "optuna: null"):
        assert key in text


def test_where_artifacts_lie_is_in_no_key(tmp_path: Path) -> None:
    near = load(tmp_path, SPEC)
    far = load(tmp_path, SPEC + "storage: {artifacts: 's3://bucket/prefix'}\n")
    plans = [plan_run(spec.make_config({"budgets.macs": 0.4}), "data") for spec in (near, far)]
    assert plans[0] == plans[1]


# ---- overrides


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run.seed=3", lambda spec: spec.run.seed == 3),
        (
            "run.fine_tuning.distillation.weight=0.25",
            lambda spec: spec.run.fine_tuning.distillation.weight == 0.25,
        ),
        ("storage.path=elsewhere", lambda spec: spec.storage.path == "elsewhere"),
        (
            "storage.artifacts=s3://bucket/a?region=x&scheme=http",
            lambda spec: spec.storage.artifacts == "s3://bucket/a?region=x&scheme=http",
        ),
        ("study=other", lambda spec: spec.study == "other"),
        (
            "search.budgets.macs={low: .3, high: .6}",
            lambda spec: spec.space.distributions["budgets.macs"].high == 0.6,
        ),
        ("search.budgets.macs.low=0.5", lambda spec: spec.space.distributions["budgets.macs"].low == 0.5),
        ("search.gates.steps={low: 10, high: 20}", lambda spec: "gates.steps" in spec.space.distributions),
        ("search.saliency.num_basis=null", lambda spec: list(spec.space.distributions) == ["budgets.macs"]),
        ("constraints.params=<= 0.3M", lambda spec: spec.constraints == {"params": "<= 0.3M"}),
        ("first=[{budgets.macs: 0.5}]", lambda spec: spec.fixed_points == ({"budgets.macs": 0.5},)),
        ("run.budgets.params=20K", lambda spec: str(spec.run.budgets.params) == "20000"),
    ],
)
def test_an_override_changes_its_key(
    tmp_path: Path, override: str, expected: Callable[[SearchSpec], bool]
) -> None:
    assert not expected(load(tmp_path, SPEC))
    assert expected(load(tmp_path, SPEC, override))


def test_of_two_overrides_the_later_wins(tmp_path: Path) -> None:
    assert load(tmp_path, SPEC, "run.seed=3", "run.seed=4").run.seed == 4


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("run.seed", r"command line: an override must look like run.seed=3, but got 'run.seed'"),
        ("=3", "an override must look like"),
        ("run..seed=3", "an override must look like"),
        ("run.seed=[1", "command line: 'run.seed=.*must be YAML"),
        ("run.seed={a: 1, a: 2}", "'a' must be given once"),
        ("study.name=x", "'study.name' cannot be set, because 'study' is 'tiny', not a section"),
        ("run.sed=3", "command line: 'run.sed': unknown key. Did you mean seed?"),
        ("run.seed=x", "command line: 'run.seed': .*integer.*but got 'x'"),
        ("search.budgets.macs.low=0.9", "command line: 'search.budgets.macs': low < high must hold"),
        (
            "search.budgets.mac={low: 0.1, high: 0.2}",
            "command line: 'search.budgets.mac': .*Did you mean budgets.macs",
        ),
    ],
)
def test_a_wrong_override_is_blamed_on_the_command_line(tmp_path: Path, override: str, problem: str) -> None:
    with pytest.raises(InvalidSettingsError, match=problem):
        load(tmp_path, SPEC, override)


# ---- problems in the file


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


def test_merged_keys_may_be_overwritten(tmp_path: Path) -> None:
    text = SPEC + "sampler: {name: random, seed: 5}\n"
    merged = (
        text.replace("sampler: {", "sampler:\n  <<: {name: tpe}\n  ")
        .replace(", seed", "\n  seed")
        .rstrip("}\n")
    )
    assert load(tmp_path, merged) == load(tmp_path, text)


# ---- paths


def test_paths_of_the_run_are_relative_to_the_spec(tmp_path: Path) -> None:
    text = SPEC.replace(
        "seed: 1", "architecture: {checkpoint: weights/net.safetensors}\n  dataset: {root: ../data}"
    )
    run = load(tmp_path, text).run
    assert run.architecture.checkpoint == str(tmp_path / "weights/net.safetensors")
    assert run.dataset.root == str(tmp_path / "../data")


def test_the_latency_table_is_relative_to_the_spec_and_cannot_vary(tmp_path: Path) -> None:
    text = SPEC.replace("seed: 1", "latency_table: tables/cpu.json")
    assert load(tmp_path, text).run.latency_table == str(tmp_path / "tables/cpu.json")
    with pytest.raises(InvalidSettingsError, match=r"'search\.latency_table': may not vary"):
        load(tmp_path, SPEC + "  latency_table: {choices: [a, b]}\n")


@pytest.mark.parametrize("name", ["activation_memory", "latency_ms"])
def test_a_cost_with_a_budget_can_be_an_objective_and_be_constrained(tmp_path: Path, name: str) -> None:
    more = f"objectives: {{accuracy: maximize, {name}: minimize}}\nconstraints: {{{name}: '<= 60%'}}\n"
    fixed = load(tmp_path, SPEC.replace("seed: 1", f"budgets: {{{name}: 1.0}}") + more)
    assert list(fixed.objectives) == ["accuracy", name]
    varied = load(tmp_path, SPEC + f"  budgets.{name}: {{low: 0.4, high: 0.8}}\n" + more)
    assert varied.make_config({"budgets.macs": 0.5, f"budgets.{name}": 0.5}).budgets.items()[1][0] == name
    with pytest.raises(InvalidSettingsError, match=f"'objectives.{name}': is known only of"):
        load(tmp_path, SPEC + f"  budgets.{name}: {{choices: [0.4, null]}}\n" + more)


def test_paths_in_overrides_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    spec = load(tmp_path, SPEC, "run.dataset.root=images", "run.architecture.checkpoint=~/net.pt")
    assert spec.run.dataset.root == str(elsewhere / "images")
    assert spec.run.architecture.checkpoint == str(Path.home() / "net.pt")


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


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("architecture: {name: my_nets:tiny}", True),
        ("dataset: {name: my_data:load}", True),
        ("architecture: {name: 'torchvision:resnet18'}", False),
        ("seed: 1", False),
    ],
)
def test_plug_ins_are_imported_from_the_folder_of_the_spec(tmp_path: Path, run: str, expected: bool) -> None:
    spec = load(tmp_path, SPEC.replace("seed: 1", run))
    assert spec.plug_ins == (str(tmp_path) if expected else None)


def test_a_spec_of_a_version_that_stopped_nobody_means_the_same(tmp_path: Path) -> None:
    assert load(tmp_path, SPEC + "scheduler: {name: none}\n") == load(tmp_path, SPEC)


@pytest.mark.parametrize(
    ("halving", "rungs"),
    [
        ("{rule: none}", ()),
        ("{rule: stopping}", (1, 3, 9)),
        ("{rule: promotion, eta: 2, min_epochs: 2}", (2, 4, 8)),
        ("{rule: all, rungs: [4, 6]}", (4, 6)),
    ],
)
def test_rungs_are_given_or_follow_from_the_first(
    tmp_path: Path, halving: str, rungs: tuple[int, ...]
) -> None:
    spec = load(tmp_path, SPEC + f"halving: {halving}\n")
    assert spec.run.fine_tuning.epochs == 10
    assert spec.rungs == rungs
