"""The spec: what it means, and that it survives the study folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pruning_core.errors import InvalidSettingsError
from pruning_core.stage_keys import plan_run
from reports.objectives import Direction
from search.spec import SearchSpec, dump_spec
from tests.search_tests.spec_text import SPEC, load


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
