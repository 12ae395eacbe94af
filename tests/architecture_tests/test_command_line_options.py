"""The command line is a promise: an option that appears, disappears or is renamed changes this list on purpose."""

from __future__ import annotations

import typer.main
from typer.core import TyperGroup

from search.cli import app

OPTIONS = {
    "check": ["spec", "overrides"],
    "plan": ["spec", "overrides", "--configurations", "--probe", "--price", "--slots"],
    "latency": [
        "target",
        "values",
        "--device",
        "--threads",
        "--batch-size",
        "--repeats",
        "--grid-points",
        "--runtimes",
        "--warm-up",
        "--storage",
        "--json",
    ],
    "launch": ["spec", "overrides", "--address"],
    "resume": ["study", "overrides", "--storage", "--address"],
    "status": ["study", "--storage", "--json"],
    "doctor": ["study", "--mend", "--rebuild-mlflow", "--storage", "--json"],
    "report": ["study", "--gallery", "--storage"],
    "pick": [
        "study",
        "--max-flops",
        "--max-params",
        "--max-memory",
        "--max-latency",
        "--min-accuracy",
        "--max-drop",
        "--knee",
        "--closest",
        "--cheapest",
        "--top",
        "--confirm",
        "--no-test",
        "--storage",
        "--json",
    ],
    "export": [
        "study",
        "trial",
        "--out",
        "--formats",
        "--fold-batch-norm",
        "--int8",
        "--target-size",
        "--overwrite",
        "--storage",
    ],
    "register": ["study", "--storage"],
    "ui": ["--storage", "--port"],
}


def test_the_commands_and_their_options_are_these() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = {
        name: [parameter.opts[0] for parameter in command.params] for name, command in group.commands.items()
    }
    assert found == OPTIONS
    assert [parameter.opts[0] for parameter in group.params] == ["--version"]


def test_every_command_says_what_it_does() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for command in group.commands.values():
        assert command.help
        assert all(getattr(parameter, "help", None) for parameter in command.params)
