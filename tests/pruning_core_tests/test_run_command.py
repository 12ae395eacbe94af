"""``python -m pruning_core RUN.yaml``: one run from a file, alone or under torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pruning_core.__main__ import main
from pruning_core.errors import InvalidSettingsError
from pruning_core.run_file import read_run_file
from tests.synthetic import make_images

ROOT = Path(__file__).parents[2]
RUN = """
architecture: {name: cifar_resnet8, width: 0.25}
dataset: {name: npz, root: data.npz}
dense_training: {epochs: 1, batch_size: 32}
method: l1
fine_tuning: {epochs: 1, batch_size: 32}
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """A run of a method without images, beside its data."""
    parts = {part: make_images(count, seed=count) for part, count in (("train", 80), ("test", 16))}
    arrays = {f"x_{part}": images.images_NCHW.permute(0, 2, 3, 1).numpy() for part, images in parts.items()}
    arrays |= {f"y_{part}": images.labels_N.numpy() for part, images in parts.items()}
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)
    path = tmp_path / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    return path


def only_result(folder: Path) -> dict[str, object]:
    (path,) = (folder / "runs").iterdir()
    result: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == f"{result['trial_key']}.json"
    return result


def test_a_run_prints_its_stages_and_writes_its_result(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "results"
    assert main([str(run_file), "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    result = only_result(store)
    assert result["num_images"] == 8
    assert "dense        step 2 of 2\n" in printed
    assert f"FLOPs (MACs)  {result['macs']:,} of {result['dense_macs']:,}" in printed
    assert "found finished" not in printed
    assert main([str(run_file), "--store", str(store)]) == 0
    assert capsys.readouterr().out.count("found finished") == 3
    assert only_result(store)["macs"] == result["macs"]


@pytest.mark.integration
def test_torchrun_divides_a_run_between_processes_of_which_one_speaks(run_file: Path, tmp_path: Path) -> None:
    store = tmp_path / "results"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, "-m", "pruning_core", str(run_file), "--store", str(store)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("result: ") == 1
    result = only_result(store)
    assert f"params        {result['params']:,} of {result['dense_params']:,}" in ended.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a YAML mapping such as 'seed: 0', but got an empty file"),
        ("seed: 1\nseed: 2\n", ":2: 'seed' must be given once, but is on line 1 already"),
        ("fine_tuning: {epoch: 3}\n", "unknown key 'fine_tuning.epoch'"),
        ("run: {seed: 3}\n", "must hold the settings of one run, but 'run' is a section of a search"),
    ],
)
def test_a_file_that_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    assert main([str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {path}")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidSettingsError, match=r"absent\.yaml: a run must be a readable file, but: No such"
    ):
        read_run_file(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("method: é".encode("latin-1"))
    with pytest.raises(InvalidSettingsError, match="must be UTF-8 text, but this is not"):
        read_run_file(tmp_path / "latin.yaml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "architecture: {checkpoint: dense.pt}\ndataset: {root: ../data}\nlatency_table: t.json\n",
        encoding="utf-8",
    )
    config = read_run_file(path)
    assert config.architecture.checkpoint == str(tmp_path / "dense.pt")
    assert config.dataset.root == str(tmp_path / ".." / "data")
    assert config.latency_table == str(tmp_path / "t.json")


def test_what_a_run_refuses_is_one_line(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_file.write_text(RUN + "budgets: {macs: 0.0001}\n", encoding="utf-8")
    assert main([str(run_file), "--store", str(tmp_path / "results")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "results").exists()
