"""Which addresses of databases are taken, and that none that is refused is repeated: it may hold a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.errors import InvalidSettingsError
from search.database.url import check_database_url, libpq_url
from search.spec import dump_spec, load_spec
from tests.search_tests.stored_studies import SPEC, write_spec

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me@db.example.org:5432/studies",
        "postgresql+psycopg://db/studies",
        "postgresql+psycopg://me@[::1]:5433/studies?sslmode=require",
        "postgresql+psycopg://me@/studies?host=/var/run/postgresql",
        "postgresql+psycopg://m%40e@db/studies?passfile=/home/me/.pgpass",
    ],
)
def test_addresses_without_a_password_are_kept_as_they_are(tmp_path: Path, url: str) -> None:
    assert check_database_url(url) == url
    spec = load_spec(write_spec(tmp_path, SPEC), [f"storage.optuna={url}"])
    assert spec.storage.optuna == url
    assert f"optuna: {url}" in dump_spec(spec)
    assert libpq_url(url) == url.replace("+psycopg", "")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (
            f"postgresql+psycopg://me:{SECRET}@db/studies",
            "must hold no password, .* set PGPASSWORD, or write a line",
        ),
        ("postgresql+psycopg://me:@db/studies", "must hold no password"),
        (f"postgresql+psycopg://me@db/studies?password={SECRET}", "must hold no password"),
        (f"postgresql+psycopg://me@db/studies?sslmode=require&PassWord={SECRET}", "must hold no password"),
        (f"postgresql+psycopg://me@db/studies?pass%77ord={SECRET}", "must hold no password"),
        (f"postgresql://me:{SECRET}@db/studies", "must be null .* but got postgresql://"),
        (f"mysql+pymysql://me:{SECRET}@db/studies", "must be null .* but got mysql.pymysql://"),
        (f"me:{SECRET}@db/studies", "but got no scheme that is known"),
        (f"{SECRET}!://db/studies", "but got no scheme that is known"),
        (f"postgresql+psycopg://me:{SECRET}@db:port/studies", "its host or port cannot be read"),
        (f"postgresql+psycopg://me:{SECRET}@[::1/studies", "its host or port cannot be read"),
        (f"postgresql+psycopg://me:{SECRET} x@db/studies", "with other characters written as %XX"),
        ("postgresql+psycopg://me@db/{name}", "with other characters written as %XX"),
        ("postgresql+psycopg://me@db:5432", "must name a database, such as postgresql.psycopg://USER"),
    ],
)
def test_other_addresses_are_refused_and_not_repeated(tmp_path: Path, url: str, problem: str) -> None:
    path = write_spec(tmp_path, SPEC + f"storage: {{optuna: '{url}'}}\n")
    with pytest.raises(InvalidSettingsError, match=f"tiny.yaml:7: 'storage.optuna': .*{problem}") as refused:
        load_spec(path)
    assert SECRET not in str(refused.value)
