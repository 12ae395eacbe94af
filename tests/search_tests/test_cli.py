"""How commands end: exit codes, one line per error, and nothing but the answer on stdout."""

from __future__ import annotations

import errno
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import safetensors.torch
import typer
from typer.testing import CliRunner

from pruning_core.errors import InfeasibleBudgetsError, StorageError
from search import cli
from search.cli import app
from search.terminal import TRACEBACK_VARIABLE, OneLineErrors
from tests.synthetic import make_network

runner = CliRunner()


def ending_with(error: BaseException) -> typer.Typer:
    """Make a command line whose only command raises."""
    failing = typer.Typer(cls=OneLineErrors)

    @failing.command()
    def fail() -> None:
        raise error

    @failing.command()
    def other() -> None: ...

    return failing


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InfeasibleBudgetsError("macs must be at least 31%"), "error: macs must be at least 31%"),
        (StorageError("the disk is full"), "error: the disk is full"),
        (ValueError("two\n  lines"), "error: two lines"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "error: /x/y: the disk must have room"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "error: /x/y: Permission denied"),
    ],
)
def test_what_a_user_can_cause_is_one_line_on_stderr_and_exit_code_2(error: Exception, message: str) -> None:
    result = runner.invoke(ending_with(error), ["fail"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_our_own_bugs_keep_their_traceback() -> None:
    result = runner.invoke(ending_with(AssertionError("a bug")), ["fail"])
    assert isinstance(result.exception, AssertionError)
    assert result.exit_code == 1


def test_a_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    result = runner.invoke(ending_with(StorageError("full")), ["fail"])
    assert isinstance(result.exception, StorageError)


def test_ctrl_c_before_a_command_has_begun_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_ends_with_130() -> None:
    assert runner.invoke(ending_with(KeyboardInterrupt()), ["fail"]).exit_code == 130


# ---- commands on what is not there

ON_A_STUDY = {
    "resume": ["resume", "nope"],
    "status": ["status", "nope"],
    "report": ["report", "nope"],
    "pick": ["pick", "nope", "--knee"],
    "export": ["export", "nope", "0"],
}


@pytest.mark.parametrize("arguments", ON_A_STUDY.values(), ids=ON_A_STUDY)
def test_a_study_that_does_not_exist_is_refused_and_nothing_is_written(
    arguments: list[str], tmp_path: Path
) -> None:
    storage = tmp_path / "results"
    result = runner.invoke(app, [*arguments, "--storage", str(storage)])
    assert result.exit_code == 2, result.output
    assert "has no 'nope'. Studies there: none." in result.stderr
    assert result.stdout == ""
    assert not storage.exists()


@pytest.mark.parametrize("arguments", ON_A_STUDY.values(), ids=ON_A_STUDY)
def test_a_study_name_cannot_lead_out_of_the_results_folder(arguments: list[str], tmp_path: Path) -> None:
    command = [arguments[0], "../elsewhere", *arguments[2:]]
    result = runner.invoke(app, [*command, "--storage", str(tmp_path)])
    assert result.exit_code == 2
    assert "must start with a letter or digit" in result.stderr


@pytest.mark.parametrize("arguments", ON_A_STUDY.values(), ids=ON_A_STUDY)
def test_results_of_another_version_are_refused(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "nope").mkdir()
    (tmp_path / "nope/spec.yaml").write_text("study: nope\n")
    (tmp_path / "prunefront.json").write_text(json.dumps({"layout": 99}))
    result = runner.invoke(app, [*arguments, "--storage", str(tmp_path)])
    assert result.exit_code == 2
    assert "must have layout version" in result.stderr


@pytest.mark.parametrize("command", ["check", "plan", "launch"])
def test_a_spec_that_cannot_be_read_is_refused(command: str, tmp_path: Path) -> None:
    result = runner.invoke(app, [command, str(tmp_path / "missing.yaml")])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "missing.yaml: a spec must be a readable file" in result.stderr


def test_a_wrong_override_is_refused_before_anything_is_written(tmp_path: Path, spec_file: Path) -> None:
    storage = tmp_path / "results"
    result = runner.invoke(app, ["launch", str(spec_file), "run.sed=3", f"storage.path={storage}"])
    assert result.exit_code == 2
    assert result.stderr == (
        "error: command line: 'run.sed': unknown key. Did you mean seed? Known keys there: architecture, budgets, "
        "channels, dataset, dense_seed, dense_training, fine_tuning, gates, importance, latency_table, "
        "loss_weights, method, precision, recovery, saliency, seed.\n"
    )
    assert not storage.exists()


BAD_INPUT: dict[str, tuple[list[str], str]] = {
    "a budget that no network reaches": (
        ["search.budgets.macs={low: 0.01, high: 0.02}"],
        "must be reachable, but all are below",
    ),
    "an unknown data set": (
        ["run.dataset.name=imagenet21k"],
        "unknown dataset 'imagenet21k'. Known datasets: cifar10",
    ),
    "an empty image folder": (["run.dataset={name: image_folder, root: EMPTY}"], "EMPTY"),
    "an unknown network": (
        ["run.architecture.name=resnet9"],
        "unknown architecture 'resnet9'. Known architectures",
    ),
    "an attention model": (["run.architecture.name=torchvision:vit_b_16"], "vit_b_16"),
    "a missing checkpoint": (["run.architecture.checkpoint=EMPTY/net.pt"], "net.pt"),
    "a checkpoint of another network": (
        ["run.architecture={name: cifar_resnet20, checkpoint: WEIGHTS}"],
        "WEIGHTS",
    ),
    "a field without effect": (
        ["run.method=l1", "search.gates.steps={low: 100, high: 200}"],
        "'search.gates.steps': has no effect with method l1",
    ),
}


# `launch` prepares as `plan` does, beside Ray, which takes seconds to start.
REFUSED = [
    *(("plan", name) for name in BAD_INPUT),
    ("launch", "an attention model"),
]


@pytest.mark.parametrize(("command", "name"), REFUSED, ids=[" ".join(one) for one in REFUSED])
def test_what_cannot_run_is_refused_before_anything_is_written(
    command: str, name: str, tmp_path: Path, spec_file: Path
) -> None:
    overrides, problem = BAD_INPUT[name]
    (tmp_path / "EMPTY").mkdir()
    weights = tmp_path / "WEIGHTS.safetensors"
    safetensors.torch.save_file(make_network(in_channels=1).state_dict(), weights)
    storage = tmp_path / "results"
    placed = [
        one.replace("EMPTY", str(tmp_path / "EMPTY")).replace("WEIGHTS", str(weights)) for one in overrides
    ]
    result = runner.invoke(app, [command, str(spec_file), *placed, f"storage.path={storage}"])
    assert result.exit_code == 2, result.output
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not storage.exists()


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text("study: tiny\nsearch:\n  budgets.macs: {low: 0.3, high: 0.8}\n")
    return path


def test_the_version_is_that_of_the_package() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"prunefront {version('prunefront')}\n"
