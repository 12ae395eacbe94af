"""What a study notes of where it began."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from search.birth_certificate import birth_certificate, commit_of


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "networks.py").write_text("first\n")
    git(tmp_path, "add", "networks.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_study_notes_the_commit_it_was_launched_at(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    noted = birth_certificate({"sampler": "random"})
    assert noted["facts"] == {"sampler": "random"}
    machine = noted["machine"]
    assert isinstance(machine, dict)
    assert machine["commit"] == git(repository, "rev-parse", "HEAD")
    assert {"torch", "torchvision", "torch-pruning", "numpy", "ray", "optuna", "mlflow"} <= machine.keys()


def test_files_that_differ_from_the_commit_show(repository: Path) -> None:
    (repository / "results").mkdir()
    assert commit_of(repository / "results") == git(repository, "rev-parse", "HEAD")
    (repository / "networks.py").write_text("second\n")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD") + "+"


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(tmp_path) is None
    monkeypatch.chdir(tmp_path)
    assert "commit" not in birth_certificate({})["machine"]  # type: ignore[operator]
    monkeypatch.setenv("PATH", "")
    assert commit_of(Path(__file__).parent) is None
