"""optuna-dashboard over copies of the studies of a results folder: it sees what is new, and can write nothing.

Needs the extra ``prunefront[dashboard]``.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna

from pruning_core.errors import StorageError
from search.database.snapshot import change_mark
from search.studies.copies import copy_studies
from search.studies.folder import StudyFolder
from search.studies.place import database_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["LiveDashboard", "has_dashboard", "start_dashboard"]

_SHORTEST_LIFE_S = 5.0
_REFUSAL = b'{"reason": "this is a read-only view; studies are changed by prunefront alone"}'


def has_dashboard() -> bool:
    """Tell whether optuna-dashboard is installed."""
    return importlib.util.find_spec("optuna_dashboard") is not None


def start_dashboard(root: Path, host: str, port: int) -> WSGIServer:
    """Serve the dashboard from threads of their own, until the process ends or the server is shut down.

    Raises:
        OSError: The port is taken.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # copies are no news
    dashboard = LiveDashboard(root)
    server = make_server(host, port, dashboard, server_class=_ThreadingServer, handler_class=_QuietHandler)

    def serve() -> None:
        dashboard.prepare()
        server.serve_forever()

    threading.Thread(target=serve, name="optuna-dashboard", daemon=True).start()
    return server


class LiveDashboard:
    """A WSGI application that copies the studies anew when one has grown, and answers questions only.

    Args:
        root: The results folder.
        shortest_life_s: For how long a copy is shown at least; copying takes time in the number of trials.
    """

    def __init__(self, root: Path, shortest_life_s: float = _SHORTEST_LIFE_S) -> None:
        self._root = root
        self._shortest_life_s = shortest_life_s
        self._lock = threading.Lock()
        self._order: list[str] = []
        self._seen: dict[str, object] = {}
        self._copied_at = 0.0
        self._app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; one that would change something is refused, and a database that is away is told of."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response(
                "405 Method Not Allowed", [("Content-Type", "application/json"), ("Allow", "GET, HEAD")]
            )
            return [_REFUSAL]
        try:
            app = self._current()
        except StorageError as error:
            start_response("503 Service Unavailable", [("Content-Type", "application/json")])
            return [json.dumps({"reason": str(error)}).encode()]
        return app(environ, start_response)

    def prepare(self) -> None:
        """Load libraries and studies, so that the first request need not wait for it; a failure is that request's."""
        with suppress(StorageError):
            self._current()

    def _current(self) -> WSGIApplication:
        with self._lock:
            if self._app is None or time.monotonic() - self._copied_at >= self._shortest_life_s:
                self._refresh()
            assert self._app is not None
            return self._app

    def _refresh(self) -> None:
        from optuna_dashboard import wsgi

        known = StudyFolder(self._root, "any").known_studies()
        # The dashboard addresses studies by their place: whoever came later stays behind those before.
        self._order += [study for study in known if study not in self._order]
        folders = [StudyFolder(self._root, study) for study in self._order]
        marks = {folder.study: _mark(folder) for folder in folders}
        if self._app is None or marks != self._seen:
            app: Any = wsgi(copy_studies(folders))
            self._app, self._seen = app, marks
        self._copied_at = time.monotonic()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base
        """Say nothing."""


def _mark(folder: StudyFolder) -> object:
    """Return what is different when a study has changed."""
    url = database_of(folder)
    if url is not None:
        return change_mark(url, folder.study)
    try:
        return folder.journal_path.stat().st_size
    except FileNotFoundError:
        return 0
