"""A real S3 server for tests: moto's, on a port of this machine, with faults on demand in front of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BUCKET = "results"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
Fault = Callable[["WSGIEnvironment"], str | None]
"""Returns the status line with which a request is answered in moto's place, such as ``503 Slow Down``; or None."""


@dataclass
class ObjectStore:
    """A running server.

    ``requests``: methods of all requests so far. ``bytes_sent``: in answers. ``fault``: what is wrong with it now.
    """

    host: str = ""
    requests: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    fault: Fault | None = None

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        self.requests.append(environ["REQUEST_METHOD"])
        status = None if self.fault is None else self.fault(environ)
        if status is None:
            answer = list(self._moto(environ, start_response))
            self.bytes_sent += sum(map(len, answer))
            return answer
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Length", "0")])
        return []

    def address(self, prefix: str = "", bucket: str = BUCKET) -> str:
        """Return the address of a part of a bucket."""
        return f"s3://{bucket}/{prefix}?endpoint_override={self.host}&scheme=http&region=us-east-1"

    def new_address(self) -> str:
        """Return the address of a part of the bucket that nothing is in."""
        return self.address(f"{uuid4().hex}/artifacts")

    @property
    def client(self) -> Any:
        """Another program's access to the same objects."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.host}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def objects(self, address: str) -> list[str]:
        """Return the names of the objects below an address, without it."""
        prefix = address.removeprefix(f"s3://{BUCKET}/").partition("?")[0] + "/"
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"].removeprefix(prefix) for entry in listed if not entry["Key"].endswith("/")]

    def path_of(self, address: str, name: str) -> dict[str, str]:
        """Return how boto names an object below an address."""
        return {
            "Bucket": BUCKET,
            "Key": f"{address.removeprefix(f's3://{BUCKET}/').partition('?')[0]}/{name}",
        }


class _SilentHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Write no line per request."""


@contextmanager
def run_object_store() -> Iterator[ObjectStore]:
    """Run a server with one bucket."""
    store = ObjectStore()
    server: BaseWSGIServer = make_server("127.0.0.1", 0, store, threaded=True, request_handler=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store.host = f"127.0.0.1:{server.server_port}"
    store.client.create_bucket(Bucket=BUCKET)
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
