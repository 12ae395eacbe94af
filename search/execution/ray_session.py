"""A local Ray, small and quiet, and a Tune run on it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from pruning_core.errors import LostProcessError
from search.execution.worker import IS_SPENT, run_work_item

__all__ = [
    "PRIVATE",
    "Interrupts",
    "local_ray",
    "prepare_driver",
    "run_items",
    "temporary_folder",
    "worker_environment",
]

PRIVATE = "prunefront_private"
"""A resource of nodes that belong to one search, so that no other takes them for a cluster."""

_OBJECT_STORE_BYTES = 100 * 2**20  # items and outcomes are a few kilobytes of JSON

_DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",  # Tune's workers have another environment, so these would be wasted
    "RAY_enable_worker_prestart": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # agents of a killed driver go after this, not after a minute
    "RAY_worker_niceness": "0",  # workers are as nice as the command; Ray would have them starve beside other work
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours tells Ctrl-C from the end of a search
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Tune's own restore is not used
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


_LONGEST_END_S = 600


def worker_environment(num_threads: int) -> dict[str, str]:
    """Return what must be set in a worker, before torch is imported.

    Threads that spin while they wait make a machine with as many workers as cores many times slower. Between two items
    Tune waits for the thread of the first to end, 2 s if it is not told otherwise; if a busy or suspended machine takes
    longer, it drops the second without a word, and the search would wait for it for ever.
    """
    return {
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": str(_LONGEST_END_S),
        "OMP_NUM_THREADS": str(num_threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "MKL_NUM_THREADS": str(num_threads),
    }


class Interrupts:
    """Turns the first Ctrl-C or SIGTERM into a request to stop at a safe point; the second ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        """Begin to listen, if this is the main thread; others are never sent signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Put back the handlers that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise if a signal came.

        Raises:
            KeyboardInterrupt: It did.
        """
        if self.signal is not None:
            raise KeyboardInterrupt

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def prepare_driver() -> None:
    """Set what Ray reads of this process's environment when it starts."""
    os.environ.update(_DRIVER_ENVIRONMENT)


@contextmanager
def local_ray(*, num_cpus: int, use_gpus: bool, environment: Mapping[str, str]) -> Iterator[Path]:
    """Start Ray on this machine for as long as the context lasts; yields a folder for temporary files.

    Raises:
        LostProcessError: Ray's processes did not come up.
    """
    prepare_driver()
    folder = temporary_folder()
    try:
        with _told_in_a_line():
            ray.init(
                address="local",  # not the cluster that RAY_ADDRESS may name
                num_cpus=num_cpus,
                num_gpus=None if use_gpus else 0,  # None: all there are
                resources={PRIVATE: 1},
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict(environment)},
                _temp_dir=str(folder),
            )
        yield folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Ray raises bare ones here
        said = " ".join(str(error).split())
        raise LostProcessError(
            f"Ray must start on this machine, but its processes did not come up ({said}); where memory is short or "
            "much else runs, wait and type the command again"
        ) from error


def _unheard(_item_id: str, _error: str) -> None:
    pass


def run_items(
    searcher: Searcher,
    *,
    slots: int,
    resources: Mapping[str, float],
    folder: Path,
    on_step: Callable[[], None],
    on_death: Callable[[str, str], None] = _unheard,
    max_failures: int = 1,
) -> None:
    """Run what the searcher hands out until it is finished.

    Args:
        searcher: Hands out work items.
        slots: How many run at once.
        resources: Of one item, as Ray names them.
        folder: For Tune's own files, which nobody reads.
        on_step: Called between events, some ten times a second; what it raises ends the run.
        on_death: Called with an item's id in Ray and what Ray has written of its workers' deaths, the last one last,
            before the searcher is told.
        max_failures: How often an item is handed out again whose worker process died.
    """
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # outcomes carry their own reasons
    tuner = tune.Tuner(
        tune.with_resources(run_work_item, dict(resources)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            scheduler=_WorkerScheduler(on_death),
            max_concurrent_trials=slots,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="items",
            storage_path=str(folder / "tune"),
            verbose=0,
            callbacks=[_StepCallback(on_step)],
            failure_config=tune.FailureConfig(max_failures=max_failures),
        ),
    )
    tuner.fit()


class _WorkerScheduler(FIFOScheduler):
    """Tells of what workers died, where Ray tells its searchers no more than that; replaces those that are spent."""

    def __init__(self, on_death: Callable[[str, str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's
        self._on_death = on_death

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:  # noqa: ARG002 - Ray's signature
        error_file = trial.error_file
        self._on_death(trial.trial_id, Path(error_file).read_text(errors="replace") if error_file else "")

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> None:
        if result.get(IS_SPENT):
            _end_worker(tune_controller, trial)

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _end_worker(tune_controller: TuneController, trial: Trial) -> None:
    """Have Tune end the process of a trial that is about to stop, instead of keeping it for the next one.

    Tune (2.60) has no setting for it, but keeps only processes that it has seen start. Other ways hurt the item that
    comes next: if `reset_config` returns False, the searcher never hears of that item again, and if the process ends
    itself, that counts as a failure of the item.
    """
    tune_controller._started_actors.discard(tune_controller._trial_to_actor[trial])


class _StepCallback(tune.Callback):
    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        self._on_step()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def temporary_folder() -> Path:
    """Make a folder with a short name: Ray's sockets lie in it, and their paths are limited to about 100 bytes."""
    short = Path("/tmp")  # noqa: S108 - made with mkdtemp, for this user only
    parent = short if os.access(short, os.W_OK) else Path(tempfile.gettempdir())
    this_host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
    _remove_left_behind(parent, f"pf-{this_host}-")
    return Path(tempfile.mkdtemp(prefix=f"pf-{this_host}-{os.getpid()}-", dir=parent))


def _remove_left_behind(parent: Path, prefix: str) -> None:
    """Remove the folders of drivers of this machine that were killed."""
    for folder in parent.glob(f"{prefix}*-*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
