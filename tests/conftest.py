"""Fixtures for every test: one thread, small data, small networks (the functions are in tests/synthetic.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from benchmarks.postgresql_server import PostgresqlServer, why_no_server
from pruning_core.data import DataSplits
from tests.synthetic import make_data, make_network

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_data() -> DataSplits:
    """Four classes of 16 x 16 colour images, 208 in all."""
    return make_data()


@pytest.fixture
def tiny_network() -> nn.Module:
    """An untrained residual network for ``tiny_data``, new for each test."""
    return make_network()


@pytest.fixture(scope="session")
def object_store_server() -> Iterator[ObjectStore]:
    """An S3 server and the credentials for it; started for the first test that asks."""
    from tests.object_store import CREDENTIALS, run_object_store

    with pytest.MonkeyPatch.context() as patch, run_object_store() as store:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture
def object_store(object_store_server: ObjectStore) -> Iterator[ObjectStore]:
    """The S3 server, sound and with no requests counted."""
    object_store_server.requests.clear()
    yield object_store_server
    object_store_server.fault = None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server of our own, for as long as the tests run."""
    reason = why_no_server()
    if reason is not None:
        pytest.skip(reason)
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def database_url(postgresql: PostgresqlServer) -> str:
    """The address of an empty database, as ``storage.optuna`` takes it."""
    postgresql.start()  # a test may have left it stopped
    return postgresql.create_database()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that start Ray one after another: two of them would want four cores."""
    for item in items:
        if item.get_closest_marker("ray") is not None:
            item.add_marker(pytest.mark.xdist_group("ray"))
