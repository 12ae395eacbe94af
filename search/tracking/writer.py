"""A thread of the driver that has MLflow kept up to date without ever holding up the search.

It is given the study's records as a whole and writes what MLflow lacks; when that fails it tries again later, with
the newest records. Nothing is lost when MLflow cannot be reached: the study keeps all records, and the next
`resume` or `report` delivers them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pruning_core.errors import PrunefrontError
from reports.records import StudyRecords
from search.spec import SearchSpec
from search.studies.folder import StudyFolder

__all__ = [
    "DetachedProjection",
    "Projection",
    "StudyAddress",
    "TrackingWriter",
    "address_of",
    "open_projection",
    "problem_of",
    "quieten_mlflow",
]

_LONGEST_DELAY_S = 30.0

_ENVIRONMENT = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # one per run that the doctor reads
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # we try again ourselves, later
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyAddress:
    """Where a study's MLflow runs go.

    ``uri``: MLflow's tracking address. ``files_uri``: where files of runs lie; None: MLflow's server knows.
    ``study_id``: tells this study from another of the same name. ``created_at``: in unix seconds.
    ``runs_path``: file that gets the ids of the runs, for links in reports.
    """

    uri: str
    files_uri: str | None
    study: str
    study_id: str
    created_at: float
    runs_path: Path


class Projection(Protocol):
    """Writes a study to MLflow; every call can be repeated."""

    @property
    def num_written(self) -> int:
        """How many trials have a complete run."""

    def sync(self, study: StudyRecords, final_status: str | None = None) -> None:
        """Write what MLflow lacks; ``final_status`` is MLflow's word for how the search ended."""


class DetachedProjection(Projection, Protocol):
    """A projection that is written elsewhere."""

    def interrupt(self) -> None:
        """Have a `sync` that another thread waits for end soon, with an error."""

    def close(self) -> None:
        """Let go of whatever writes."""


def problem_of(error: Exception) -> str:
    """Return an error as one line for users; errors for users are it already."""
    text = (str(error).splitlines() or [""])[0]
    return text if isinstance(error, PrunefrontError) else f"{type(error).__name__}: {text}"


def address_of(spec: SearchSpec, folder: StudyFolder, attributes: Mapping[str, Any]) -> StudyAddress:
    """Return where a study's runs go; ``attributes``: what was noted about the study."""
    external = spec.storage.mlflow
    return StudyAddress(
        uri=external or folder.mlflow_uri,
        files_uri=None if external else folder.mlflow_files_uri,
        study=spec.study,
        study_id=attributes["id"],
        created_at=attributes["created_at"],
        runs_path=folder.mlflow_runs_path,
    )


def quieten_mlflow() -> None:
    """Set what MLflow reads when it is imported, unless the user has; call it before."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def open_projection(address: StudyAddress, facts: Mapping[str, object]) -> Projection:
    """Connect to MLflow; imports it, which takes seconds.

    Args:
        address: Where to.
        facts: About the data and the dense network: tags of the parent run.
    """
    quieten_mlflow()
    from search.tracking.projection import MlflowProjection

    return MlflowProjection(address, facts)


_REST = 2.0
"""So many times as long as the writing took is rested: it needs a core that trials need too, and what is written at
once for several trials costs less."""

_LONGEST_REST_S = 5.0
_GOODBYE_S = 1.0


class TrackingWriter:
    """Writes records from a thread of its own.

    Args:
        connect: Makes the projection, in the thread; tried again when it fails.
        start_delay_s: Wait before connecting, which keeps a core busy for seconds: workers start at the same time.
        first_delay_s: Wait after the first failure; doubles with every further one.
    """

    def __init__(
        self,
        connect: Callable[[], DetachedProjection],
        *,
        start_delay_s: float = 0.0,
        first_delay_s: float = 1.0,
    ) -> None:
        self._connect = connect
        self._start_delay_s = start_delay_s
        self._first_delay_s = first_delay_s
        self._changed = threading.Condition()
        self._pending: tuple[StudyRecords, str | None] | None = None
        self._give_up_at: float | None = None
        self._num_written = 0
        self._projection: DetachedProjection | None = None
        self._thread = threading.Thread(target=self._run, name="mlflow-writer", daemon=True)
        self.problem: str | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def submit(self, study: StudyRecords) -> None:
        """Have these records written soon; they replace what was submitted before."""
        with self._changed:
            self._pending = study, None
            self._changed.notify()

    def close(self, study: StudyRecords, final_status: str, *, patience_s: float) -> int:
        """Write the last records and end the thread.

        Returns:
            How many finished trials MLflow is known to have.
        """
        with self._changed:
            self._pending = study, final_status
            self._give_up_at = time.monotonic() + patience_s
            self._changed.notify()
        self._thread.join(patience_s)
        if self._projection is not None and self._thread.is_alive():
            self._projection.interrupt()
            self._thread.join(_GOODBYE_S)
        return self._num_written

    def _run(self) -> None:
        try:
            self._write_all()
        finally:
            if self._projection is not None:
                self._projection.close()

    def _write_all(self) -> None:
        delay_s, retry_s = self._start_delay_s, 0.0
        while (job := self._next_job(delay_s)) is not None:
            begun_at = time.monotonic()
            try:
                self._projection = projection = self._projection or self._connect()
                projection.sync(*job)
            except Exception as error:  # noqa: BLE001 - whatever ails MLflow, the search goes on
                self.problem = problem_of(error)
                self._put_back(job)
                retry_s = min(max(2 * retry_s, self._first_delay_s), _LONGEST_DELAY_S)
                delay_s = retry_s
            else:
                self.problem, retry_s = None, 0.0
                self._num_written = projection.num_written
                delay_s = min(_REST * (time.monotonic() - begun_at), _LONGEST_REST_S)

    def _next_job(self, delay_s: float) -> tuple[StudyRecords, str | None] | None:
        """Wait for records; None when all are written, or there is no patience left."""
        with self._changed:
            if delay_s:
                was_closing = self._give_up_at is not None
                self._changed.wait_for(
                    lambda: not was_closing and self._give_up_at is not None, timeout=delay_s
                )
            self._changed.wait_for(lambda: self._pending is not None or self._give_up_at is not None)
            if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                return None
            job, self._pending = self._pending, None
            return job

    def _put_back(self, job: tuple[StudyRecords, str | None]) -> None:
        with self._changed:
            if self._pending is None:
                self._pending = job
