"""Prune every convolutional classifier of torchvision (and some of timm) and write down whether it held.

    python -m benchmarks.models [--timm] [--only NAME ...] [--out docs/results]

Each network runs in a process of its own under a memory limit. Networks that the results file has already are not run
again unless named with ``--only``, so that a run can be stopped and continued. A network that fails is a row with the
reason. Writes models.json after each network, and models.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.models_page import render
from benchmarks.network_list import TIMM, torchvision_names
from benchmarks.network_rows import check_network_named

DEFAULT_MEMORY_GB = 6.0
CPU_SECONDS = 1800
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory")
"""How torch says that the system gives it no more."""


def run_network(name: str, memory_gb: float) -> dict[str, Any]:
    """Check one network in a process of its own; return its row, or ``{"failed": reason}``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.network_rows", "onnxscript", "torch.export"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, memory_gb, sender))
    process.start()
    sender.close()
    try:
        row: dict[str, Any] = receiver.recv()
    except EOFError:
        row = {"failed": f"the process died (more than {CPU_SECONDS} CPU seconds, or killed)"}
    process.join()
    return row


def _work(name: str, memory_gb: float, sender: Connection) -> None:
    torch.set_num_threads(1)
    limit = int(memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        row: dict[str, Any] = dict(check_network_named(name))
    except Exception as error:  # noqa: BLE001 # whatever fails is a row of the table, with the reason
        text = (str(error).splitlines() or [type(error).__name__])[0]
        is_memory = isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)
        row = {"failed": f"needs more than {memory_gb:g} GB of memory" if is_memory else text}
    sender.send(row)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing in the results file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timm", action="store_true", help="timm's networks too (needs prunefront[timm])")
    parser.add_argument(
        "--only", nargs="*", default=(), metavar="NAME", help="as torchvision:NAME; run again"
    )
    parser.add_argument("--memory-gb", type=float, default=DEFAULT_MEMORY_GB, help="limit per network")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(argv)
    names = [f"torchvision:{name}" for name in torchvision_names()]
    names += [f"timm:{name}" for name in TIMM] if args.timm else []
    path = args.out / "models.json"
    rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    facts = {"torch": torch.__version__, "machine": platform.machine(), "memory_gb": args.memory_gb}
    for name in args.only or [name for name in names if name not in rows]:
        rows[name] = run_network(name, args.memory_gb)
        print(f"{name}: {rows[name].get('failed', 'holds')}", flush=True)
        _write(args.out, facts, rows)
    _write(args.out, facts, rows)


def _write(folder: Path, facts: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"facts": facts, "rows": rows}, indent=1)
    (folder / "models.json").write_text(text + "\n", encoding="utf-8")
    names = [f"torchvision:{name}" for name in torchvision_names()]
    (folder / "models.md").write_text(render(facts, rows, names), encoding="utf-8")


if __name__ == "__main__":
    main()
