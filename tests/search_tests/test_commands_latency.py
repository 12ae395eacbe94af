"""``prunefront latency``: what it measures, writes and says."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from pruning_core.latency.table import read_latency_table
from search.cli import app
from search.commands.layer_latency import TableError, latency_lines
from tests.pruning_core_tests.latency_tables import made_up_table
from tests.search_tests.stored_studies import write_spec

runner = CliRunner()
SPEC = (
    "study: tiny\nrun: {architecture: {width: 0.5}}\nsearch: {budgets.latency_ms: {choices: [1.0, 900ms]}}\n"
)
QUICKLY = ["--repeats", "1", "--grid-points", "2"]


def test_the_table_is_written_where_the_spec_says_and_a_plan_can_use_it(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, SPEC.replace("width: 0.5}", "width: 0.5}, latency_table: tables/cpu.json"))
    refused = runner.invoke(app, ["plan", str(spec)])
    assert refused.exit_code == 2
    assert "No such file or directory; measure it with: prunefront latency SPEC" in refused.stderr
    result = runner.invoke(app, ["latency", str(spec), *QUICKLY])
    assert result.exit_code == 0, result.output
    assert "Next:" not in result.stdout
    assert read_latency_table(str(tmp_path / "tables" / "cpu.json")).repeats == 1
    plan = runner.invoke(app, ["plan", str(spec)])
    assert plan.exit_code == 0, plan.output
    assert "latency_ms: reachable minimum " in plan.stdout


def test_without_a_place_in_the_spec_the_table_lies_beside_it(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, SPEC)
    refused = runner.invoke(app, ["plan", str(spec)])
    assert refused.exit_code == 2
    assert "latency_table is not set; measure one with: prunefront latency SPEC" in refused.stderr
    result = runner.invoke(app, ["latency", str(spec), *QUICKLY])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "latency.json").exists()
    assert "Next: set run.latency_table to latency.json" in result.stdout


def test_how_far_the_table_is_off_is_said_for_each_network(tmp_path: Path) -> None:
    found = [
        TableError(name="all channels", table_ms=0.8, network_ms=1.0),
        TableError(name="half of each group", table_ms=0.4, network_ms=0.6),
    ]
    lines = latency_lines(made_up_table("concatenated"), found, tmp_path / "table.json")
    assert lines[0].endswith("layer shapes on made up, batches of 1, 1 thread, median of 1")
    assert lines[3].split() == ["all", "channels", "0.8", "ms", "1", "ms", "-20.0%", "100.0%", "100.0%"]
    assert lines[4].split()[-3:] == ["-33.3%", "50.0%", "60.0%"]
