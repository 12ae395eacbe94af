"""A real PostgreSQL server in a temporary folder, on a free port of the loopback address."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["PostgresqlServer", "why_no_server"]

_DEBIAN = Path("/usr/lib/postgresql")
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
fsync = off
shared_buffers = 16MB
max_connections = 40
"""
_ACCESS = """
host all locked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""


def why_no_server() -> str | None:
    """Return why no server can be started; None if one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is an optional extra: pip install 'prunefront[postgresql]'"
    if _programs() is None:
        return "needs a PostgreSQL server: apt-get install postgresql"
    return None


class PostgresqlServer:
    """A server with the superuser ``postgres``; the role ``locked`` needs a password."""

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="pf-pg-", dir="/tmp"))  # sockets want short names
        self._data = self._folder / "data"
        self._as_owner: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            owner = _unprivileged_user()
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            self._as_owner = ["runuser", "-u", owner.pw_name, "--"]
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION.format(folder=self._folder, port=self.port))
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        self._num_databases = 0

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return (self._data / "postmaster.pid").exists()

    def start(self) -> None:
        """Start it, if it does not run."""
        if not self.is_running:
            self._control("start", "-l", str(self._folder / "log"))

    def stop(self) -> None:
        """End all connections and stop it."""
        self._control("stop", "-m", "fast")

    def restart(self) -> None:
        """Stop it and start it again."""
        self._control("restart", "-m", "fast", "-l", str(self._folder / "log"))

    def remove(self) -> None:
        """Stop it and delete all that it kept."""
        if self.is_running:
            self._control("stop", "-m", "immediate")
        shutil.rmtree(self._folder)

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the address of a database, as ``storage.optuna`` takes it."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Make an empty database and return its address."""
        self._num_databases += 1
        name = f"studies{self._num_databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def end_sessions(self, url: str) -> None:
        """End all connections to a database, as when their processes died."""
        database = url.rpartition("/")[2]
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608

    def num_sessions(self, url: str) -> int:
        """Count the connections to a database."""
        database = url.rpartition("/")[2]
        ((number,),) = self.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608
        return int(number)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, and return its rows."""
        import psycopg

        address = f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_owner, str(self._programs / program), *arguments]
        subprocess.run(  # noqa: S603 - no shell
            command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=120
        )


def _programs() -> Path | None:
    """Return the folder of the server's programs, which Debian keeps out of the path."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(_DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
