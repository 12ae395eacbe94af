"""``prunefront ui``: MLflow on the loopback address, over the embedded store of a results folder.

With the extra ``prunefront[dashboard]``, optuna-dashboard on the next port as well.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import typer

from pruning_core.errors import StorageError
from reports.records import TRAINING_PAGES
from search.studies.folder import StudyFolder
from search.studies.records import read_mlflow_runs
from search.text_tables import pair_lines

__all__ = ["HOST", "serve_ui", "server_command", "study_links"]

HOST = "127.0.0.1"
_PATIENCE_S = 10
_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_ui(storage: Path, port: int) -> None:
    """Serve the store until Ctrl-C or SIGTERM; the server and its own workers end with this process.

    Raises:
        StorageError: The folder has no store, or a port is taken.
    """
    arguments = server_command(storage, port)
    address = f"http://{HOST}:{port}"
    dashboard = _serve_dashboard(storage, port + 1)
    typer.echo(f"MLflow on {address} (ready in about half a minute; Ctrl-C ends it)")
    typer.echo("".join(f"  {line}\n" for line in pair_lines(study_links(storage, address))), nl=False)
    typer.echo(dashboard)
    environment = {**os.environ, **_ENVIRONMENT}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(arguments, env=environment, start_new_session=True)  # noqa: S603 - no shell
    try:
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        _end(server)
    if code != 0:
        raise typer.Exit(code)


def study_links(storage: Path, address: str) -> list[tuple[str, str]]:
    """Return the names of the studies in the store, each with the address of its runs."""
    some = StudyFolder(storage, "any")
    links = []
    for study in some.known_studies():
        runs = read_mlflow_runs(StudyFolder(storage, study))
        if "experiment" in runs and not runs["url_base"]:  # not on a server of its own
            page = f"{address}/#/experiments/{runs['experiment']}/runs?{TRAINING_PAGES}"
            view = f"&viewStateShareKey={runs['view']}" if "view" in runs else ""  # older stores have none
            links.append((study, page + view))
    return links


def server_command(storage: Path, port: int) -> list[str]:
    """Return the command line of the server.

    Raises:
        StorageError: The folder has no store, or the port is taken.
    """
    root = StudyFolder(storage, "any").root
    if not (root / "mlflow.db").is_file():
        raise StorageError(
            f"a results folder with an MLflow store must be named, but {root} has no mlflow.db; "
            "launch a search first, or name another with --storage DIR"
        )
    _check_free(port)
    store = f"sqlite:///{root / 'mlflow.db'}"
    files = (root / "mlruns").as_uri()
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)),
        *("--backend-store-uri", store, "--default-artifact-root", files, "--workers", "1"),
    ]


def _serve_dashboard(storage: Path, port: int) -> str:
    """Serve optuna-dashboard, if it is installed, until this process ends, and say where."""
    from search.dashboard import has_dashboard, start_dashboard

    if not has_dashboard():
        return "optuna-dashboard: not installed; `pip install 'prunefront[dashboard]'` brings it"
    _check_free(port)
    start_dashboard(StudyFolder(storage, "any").root, HOST, port)
    return f"optuna-dashboard on http://{HOST}:{port} (read-only)"


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise StorageError(
                f"port {port} must be free, but something answers on it; choose another with --port"
            )


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server's whole process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=_PATIENCE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
