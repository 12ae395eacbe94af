"""What a study keeps on disk, and where.

Below the root, beside the studies: ``prunefront.json`` (version of this layout), ``artifacts/`` (finished stages,
shared by all studies), ``mlflow.db`` and ``mlruns/`` (the embedded MLflow). Below a study: see `StudyFolder`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pruning_core.durable_files import flush_folder, write_flushed
from pruning_core.errors import StorageError
from search.disk import storage_errors, write_whole

__all__ = ["LAYOUT_VERSION", "StudyFolder"]

LAYOUT_VERSION = 1


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """Paths of one study. ``root`` is made absolute, so that it means the same in workers and in MLflow."""

    root: Path
    study: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser().resolve())

    @property
    def path(self) -> Path:
        """The study's own folder."""
        return self.root / self.study

    @property
    def spec_path(self) -> Path:
        """The specification as it was launched, with what ``resume`` has changed of it."""
        return self.path / "spec.yaml"

    @property
    def journal_path(self) -> Path:
        """Optuna's log."""
        return self.path / "study.journal"

    @property
    def identity_path(self) -> Path:
        """The id of the study that was launched here; only where a database keeps its trials."""
        return self.path / "study.id"

    @property
    def identity(self) -> str | None:
        """Which study of its name belongs to this folder; None where no other can be mistaken for it."""
        try:
            return self.identity_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    @property
    def timeline_path(self) -> Path:
        """One line of JSON per work item that ran."""
        return self.path / "timeline.jsonl"

    @property
    def timing_path(self) -> Path:
        """Where the time went."""
        return self.path / "timing.json"

    @property
    def mlflow_runs_path(self) -> Path:
        """Which MLflow run belongs to which trial."""
        return self.path / "mlflow.json"

    @property
    def latencies_path(self) -> Path:
        """Measured latencies of finished networks."""
        return self.path / "latencies.json"

    @property
    def failures_path(self) -> Path:
        """Tracebacks of failed work items."""
        return self.path / "failures.log"

    @property
    def lock_path(self) -> Path:
        """The file whose lock the driver holds."""
        return self.path / "lock"

    @property
    def report_path(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    @property
    def exports_path(self) -> Path:
        """Folder of exported networks."""
        return self.path / "exports"

    @property
    def artifacts_path(self) -> Path:
        """Folder of finished stages, shared by those studies of this root whose spec names no other place."""
        return self.root / "artifacts"

    @property
    def mlflow_uri(self) -> str:
        """Address of the embedded MLflow database."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def mlflow_files_uri(self) -> str:
        """Where the embedded MLflow keeps files of this study's runs."""
        return (self.root / "mlruns" / self.study).as_uri()

    @property
    def exists(self) -> bool:
        """Whether the study has been launched."""
        return self.spec_path.is_file()

    def check_new(self) -> None:
        """Refuse to launch where a study of this name, or something else, is.

        Raises:
            StorageError: The name is taken, or the root is of another version.
        """
        self._check_layout()
        if self.exists:
            raise StorageError(
                f"a new study must have a new name, but {self.study!r} exists in {self.root}; "
                f"type `prunefront resume {self.study}`, or choose another name with study=NAME"
            )
        if self.path.exists():
            raise StorageError(
                f"the study's folder must be new, but {self.path} is there and holds no study; move it away"
            )

    def check_existing(self) -> None:
        """Refuse to open what is not there.

        Raises:
            StorageError: There is no such study, or the root is of another version.
        """
        self._check_layout()
        if not self.exists:
            known = ", ".join(self.known_studies()) or "none"
            raise StorageError(
                f"the study must exist, but {self.root} has no {self.study!r}. Studies there: {known}."
            )

    def known_studies(self) -> tuple[str, ...]:
        """Return the names of the studies below this root, in alphabetical order."""
        if not self.root.is_dir():
            return ()
        return tuple(sorted(path.parent.name for path in self.root.glob("*/spec.yaml")))

    def create(self, spec_text: str, identity: str | None = None) -> None:
        """Make the study's folder with its specification, whole or not at all.

        Args:
            spec_text: YAML.
            identity: Of the study, if a database keeps its trials: another of its name may come to be there.

        Raises:
            StorageError: The name is taken, the disk is full, or the folder cannot be written.
        """
        self.check_new()
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{self.study}-", dir=self.root))
            try:
                write_flushed(partial / "spec.yaml", spec_text.encode())
                if identity is not None:
                    write_flushed(partial / self.identity_path.name, f"{identity}\n".encode())
                partial.chmod(0o755)
                self._write_layout()
                flush_folder(partial)
                partial.rename(self.path)
                flush_folder(self.root)
            except FileExistsError:
                self.check_new()
                raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def replace_spec(self, spec_text: str) -> None:
        """Write another specification, whole or not at all; only for the process that holds the study.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        with storage_errors(self.path):
            write_whole(self.spec_path, spec_text)

    def _write_layout(self) -> None:
        path = self.root / "prunefront.json"
        if not path.exists():
            write_whole(path, json.dumps({"layout": LAYOUT_VERSION}) + "\n")

    def _check_layout(self) -> None:
        path = self.root / "prunefront.json"
        if not path.is_file():
            if self.exists:
                raise StorageError(
                    f"a results folder must have the file {path}, but it has not; "
                    "the studies below it were not written by prunefront, or only in part"
                )
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["layout"]
        except (OSError, ValueError, KeyError, TypeError):
            found = "unreadable"
        if found != LAYOUT_VERSION:
            raise StorageError(
                f"the results folder {self.root} must have layout version {LAYOUT_VERSION}, but it has {found}; "
                "use the version of prunefront that wrote it, or another storage.path"
            )
