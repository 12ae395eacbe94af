"""``prunefront ui``: MLflow on the loopback address, over the embedded store of a results folder."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import typer

from pruning_core.errors import StorageError
from search.study_folder import StudyFolder

__all__ = ["HOST", "server_command", "serve_ui"]

HOST = "127.0.0.1"
_PATIENCE_S = 10


def serve_ui(storage: Path, port: int) -> None:
    """Serve the store until Ctrl-C.

    Raises:
        StorageError: The folder has no store, or the port is taken.
    """
    arguments = server_command(storage, port)
    typer.echo(f"MLflow on http://{HOST}:{port} (ready in about half a minute; Ctrl-C ends it)")
    server = subprocess.Popen(arguments)  # noqa: S603 - our own arguments, no shell
    try:
        code = server.wait()
    except KeyboardInterrupt:
        _end(server)
        return
    if code != 0:
        raise typer.Exit(code)


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
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise StorageError(
                f"port {port} must be free, but something answers on it; choose another with --port"
            )
    store = f"sqlite:///{root / 'mlflow.db'}"
    files = (root / "mlruns").as_uri()
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)),
        *("--backend-store-uri", store, "--default-artifact-root", files, "--workers", "1"),
    ]


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
