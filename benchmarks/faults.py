"""Ways to disturb a search, each from outside: signals to its processes, its servers gone, its disk full."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.postgresql_server import PostgresqlServer

__all__ = ["FAULTS", "Driver", "MlflowServer", "descendants", "lives"]

_BALLAST = "ballast"
_PATIENCE_S = 120.0
_LONGEST_START_S = 30.0


class MlflowServer:
    """MLflow's own server over a database in a folder; it can be killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._command = (
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--workers", "1"),
            *("--artifacts-destination", str(folder / "files")),
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - no shell
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
        )
        give_up_at = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if time.monotonic() > give_up_at:
                raise SystemExit(f"MLflow's server must answer on {self.address}, but does not")
            time.sleep(0.5)

    def kill(self) -> None:
        """Kill it with its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:  # noqa: S310 - http
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Driver:
    """A driver of a study, running or gone.

    Args:
        command: Of ``prunefront``.
        root: Results folder, on a disk of its own where a fault fills it.
        log: Gets what the driver writes.
        server: MLflow's or PostgreSQL's; None: all is kept in files.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        root: Path,
        log: Path,
        server: MlflowServer | PostgresqlServer | None,
    ) -> None:
        self.root, self.server = root, server
        with log.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603 - no shell
                (sys.executable, "-c", "from search.cli import main; main()", *command),
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=_heed_interrupts,  # noqa: PLW1509 - no threads here
            )

    def wait(self, patience_s: float | None = None) -> int | None:
        """Wait for its end, and for that of everything it started; return its exit status, or None if it goes on."""
        family = descendants(self.process.pid)
        try:
            status = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None
        _wait_for_the_end_of(family)
        return status


def _heed_interrupts() -> None:
    """Undo what a shell does to commands in the background: they ignore Ctrl-C until somebody asks for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def kill_driver(driver: Driver, _: random.Random) -> bool:
    """Kill the driver alone: Ray's processes find out by themselves."""
    return _kill(driver.process.pid)


def interrupt_driver(driver: Driver, _: random.Random) -> bool:
    """Type Ctrl-C."""
    os.killpg(driver.process.pid, signal.SIGINT)
    return True


def kill_worker(driver: Driver, rng: random.Random) -> bool:
    """Kill one of Ray's workers."""
    return _kill_one(driver, rng, lambda name: name.startswith("ray::") and "Agent" not in name)


def kill_tracking(driver: Driver, rng: random.Random) -> bool:
    """Kill the process that writes MLflow, in the midst of it or not."""
    return _kill_one(driver, rng, lambda name: "search.tracking.program" in name)


def kill_node(driver: Driver, rng: random.Random) -> bool:
    """Kill the process that is Ray's node, and with it all workers."""
    return _kill_one(driver, rng, lambda name: name.split("\0")[0].endswith("/raylet"))


def restart_machine(driver: Driver, _: random.Random) -> bool:
    """Kill everything at once. What was written is kept, which a power cut does not promise."""
    killed = [_kill(pid) for pid in (driver.process.pid, *descendants(driver.process.pid))]
    return any(killed)


def lose_mlflow(driver: Driver, rng: random.Random) -> bool:
    """Kill MLflow's server, and start it again some seconds later."""
    assert isinstance(driver.server, MlflowServer)
    driver.server.kill()
    time.sleep(rng.uniform(2, 6))
    driver.server.start()
    return True


def restart_database(driver: Driver, rng: random.Random) -> bool:
    """Stop PostgreSQL's server, which ends all sessions, and start it again some seconds later."""
    assert isinstance(driver.server, PostgresqlServer)
    driver.server.stop()
    time.sleep(rng.uniform(0, 6))
    driver.server.start()
    return True


def fill_disk(driver: Driver, _: random.Random) -> bool:
    """Leave no byte on the disk of the results until the driver has given up."""
    ballast = driver.root.parent / _BALLAST
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue  # smaller pieces may still fit
    driver.wait()
    ballast.unlink()
    return True


FAULTS: dict[str, Callable[[Driver, random.Random], bool]] = {
    "driver killed": kill_driver,
    "Ctrl-C": interrupt_driver,
    "worker killed": kill_worker,
    "MLflow writer killed": kill_tracking,
    "node killed": kill_node,
    "all processes killed": restart_machine,
    "MLflow server killed": lose_mlflow,
    "PostgreSQL restarted": restart_database,
    "disk full": fill_disk,
}
"""What is done to a running search; each tells whether there was something to be disturbed."""


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found, left = [], [pid]
    while left:
        new = children.get(left.pop(), [])
        found += new
        left += new
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        yield int(path.parent.name), int(fields[1])


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _kill_one(driver: Driver, rng: random.Random, is_meant: Callable[[str], bool]) -> bool:
    """Kill one of the driver's processes of a kind; it may not have begun yet."""
    give_up_at = time.monotonic() + _LONGEST_START_S
    while driver.process.poll() is None and time.monotonic() < give_up_at:
        meant = sorted(pid for pid in descendants(driver.process.pid) if is_meant(_name_of(pid)))
        if meant and _kill(rng.choice(meant)):
            return True
        time.sleep(0.1)
    return False


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False  # it has just ended
    return True


def _wait_for_the_end_of(pids: list[int]) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while any(lives(pid) for pid in pids):
        if time.monotonic() > give_up_at:
            raise SystemExit(
                f"processes {pids} must end with their driver, but live {_PATIENCE_S:.0f} s later"
            )
        time.sleep(0.2)


def lives(pid: int) -> bool:
    """Tell whether a process is there and has not ended; one that nobody has waited for yet has ended."""
    try:
        state = (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[0]
        )
    except OSError:
        return False
    return state != "Z"
