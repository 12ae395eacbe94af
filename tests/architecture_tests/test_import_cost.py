"""What an import loads, seen from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "torch",
    "torchvision",
    "torch_pruning",
    "ray",
    "optuna",
    "mlflow",
    "pandas",
    "plotly",
    "onnxruntime",
    "onnx",
}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a new process has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("pruning_core", set()),
        ("pruning_core.config", set()),
        ("pruning_core.budgets", set()),
        ("pruning_core.errors", set()),
        ("reports", set()),
        ("reports.records", set()),
        ("reports.picks", set()),
        ("spaces", {"optuna"}),
        ("search", set()),
        ("search.cli", set()),
        ("search.commands.pick", {"optuna"}),
    ],
)
def test_a_light_module_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    assert loaded_by(f"import {module}") & HEAVY <= allowed


@pytest.mark.parametrize("module", ["search.commands.pick", "search.commands.status"])
def test_commands_that_answer_at_once_load_no_tables_and_no_plots(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"pandas", "plotly", "matplotlib", "torch", "ray", "mlflow"}


@pytest.mark.parametrize("module", ["reports.tables", "reports.page"])
def test_reports_load_no_network_library_and_no_cluster(module: str) -> None:
    assert not loaded_by(f"import {module}") & {
        "torch",
        "torchvision",
        "ray",
        "optuna",
        "mlflow",
        "pruning_core",
    }


@pytest.mark.parametrize("module", ["pruning_core.stages", "benchmarks.speed"])
def test_the_core_can_be_used_and_timed_without_the_orchestrator(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert "torch" in loaded
    assert not loaded & {"ray", "optuna", "mlflow", "pandas", "plotly", "typer", "captum"}


@pytest.mark.parametrize("command", ["check", "plan", "launch"])
def test_a_mistake_in_a_spec_is_found_before_anything_heavy_is_loaded(command: str) -> None:
    run = f"app([{command!r}, 'examples/digits.yaml', 'run.sede=3'], standalone_mode=False)"
    loaded = loaded_by(f"from search.cli import app\ntry: {run}\nexcept BaseException as end: print(end)")
    assert loaded & HEAVY == {"optuna"}


def test_help_answers_within_a_second() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        code = "from search.cli import main; main()"
        subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, cwd=ROOT, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 1.0
