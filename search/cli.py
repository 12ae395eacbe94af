"""The command line: reads arguments and hands them to `search.commands`.

Each command imports what it needs when it runs, so that ``prunefront --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from search.terminal import INTERRUPTED, OneLineErrors, warn

__all__ = ["app", "main"]

app = typer.Typer(
    cls=OneLineErrors,
    help="Search for the Pareto front of channel-pruned CNNs: accuracy against FLOPs against parameters.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Spec = Annotated[
    Path, typer.Argument(metavar="SPEC", help="YAML file of the search, such as examples/digits.yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Settings to change: run.seed=3 storage.path=DIR limits.trials=20."
    ),
]
LimitOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Limits and resources to change from now on: limits.trials=80 limits.hours=12 resources.slots=4.",
    ),
]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study, the spec's `study`.")]
Storage = Annotated[
    Path, typer.Option("--storage", metavar="DIR", help="Results folder, the spec's storage.path.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]

Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Run trials on the Ray cluster of this machine (auto) or of HOST:PORT; else on this machine alone.",
    ),
]

RESULTS = Path("results")


def _tell_version(is_asked: bool) -> None:  # noqa: FBT001 - typer's signature
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"prunefront {version('prunefront')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """Read what is said before the command."""


@app.command()
def check(spec: Spec, overrides: Overrides = None) -> None:
    """Does the network prune safely?"""
    _read_first(spec, overrides)
    from search.commands.check import check_spec

    check_spec(spec, overrides or [])


@app.command()
def plan(
    spec: Spec,
    overrides: Overrides = None,
    configurations: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of the first configurations to list.")
    ] = 8,
    probe: Annotated[  # noqa: FBT002
        bool, typer.Option("--probe", help="Run one configuration, and say how long the search will take.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(min=0, metavar="AMOUNT", help="Of one hour of one slot; with --probe.")
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Trials at once, if not as many as here; with --probe."),
    ] = None,
) -> None:
    """What would run, what cannot be met, and how long it will take."""
    _read_first(spec, overrides)
    from search.commands.plan import PlanRequest, show_plan

    request = PlanRequest(num_configurations=configurations, probe=probe, price=price, slots=slots)
    show_plan(spec, overrides or [], request)


@app.command()
def latency(  # noqa: PLR0913, PLR0917 - one argument per option
    target: Annotated[
        str, typer.Argument(metavar="SPEC|STUDY", help="A file is a spec; anything else names a study.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE|TRIAL", help="Settings to change of a spec; trials of a study, or its front."
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="As torch spells it: cpu, cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of one forward pass on the CPU.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of one forward pass.")] = 1,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Forward passes that count: 30 of a layer, 100 of a network.")
    ] = None,
    grid_points: Annotated[
        int | None, typer.Option(min=2, help="Of a spec: widths tried along inputs and outputs; 5.")
    ] = None,
    runtimes: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Of a study: which of onnxruntime and torch.")
    ] = None,
    warm_up: Annotated[
        int | None, typer.Option(min=0, help="Of a study: passes before any that count; 10.")
    ] = None,
    storage: Storage = RESULTS,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Measure layers of a spec, or networks of a study.

    The table of a spec's layers is what latency budgets need; a study's networks are measured beside the dense one.
    """
    from search.commands.latency import LatencyRequest, measure

    request = LatencyRequest(
        target=target,
        values=values or (),
        device=device,
        threads=threads,
        batch_size=batch_size,
        repeats=repeats,
        grid_points=grid_points,
        runtimes=runtimes,
        warm_up=warm_up,
    )
    measure(request, storage, as_json=as_json)


@app.command()
def launch(spec: Spec, overrides: Overrides = None, address: Address = None) -> None:
    """Run a search to its end."""
    _read_first(spec, overrides)
    from search.commands.launch import launch_study
    from search.driver import run_search

    launch_study(spec, overrides or [], partial(run_search, address=address))


@app.command()
def resume(
    study: Study, overrides: LimitOverrides = None, storage: Storage = RESULTS, address: Address = None
) -> None:
    """Go on after a crash, Ctrl-C or a lost machine, or to a higher limit."""
    from search.commands.launch import resume_study
    from search.driver import run_search

    resume_study(study, storage, partial(run_search, address=address), overrides=overrides or ())


@app.command()
def status(study: Study, storage: Storage = RESULTS, as_json: Json = False) -> None:  # noqa: FBT002 - an option
    """Trials, front and hypervolume so far."""
    from search.commands.status import show_status

    show_status(study, storage, as_json=as_json)


@app.command()
def doctor(
    study: Study,
    mend: Annotated[bool, typer.Option("--mend", help="Mend what is wrong.")] = False,  # noqa: FBT002 - an option
    rebuild: Annotated[  # noqa: FBT002
        bool, typer.Option("--rebuild-mlflow", help="Delete the study's MLflow runs and write them anew.")
    ] = False,
    storage: Storage = RESULTS,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Find what is wrong with a study, on disk and in MLflow."""
    from search.commands.doctor import examine_study

    examine_study(study, storage, mend=mend, rebuild=rebuild, as_json=as_json)


@app.command()
def report(
    study: Study,
    gallery: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--gallery/--no-gallery", help="Show what networks of the front look at.")
    ] = True,
    storage: Storage = RESULTS,
) -> None:
    """Write an offline HTML page, tables and figures."""
    from search.commands.report import write_study_report

    write_study_report(study, storage, with_gallery=gallery)


@app.command()
def pick(  # noqa: PLR0913, PLR0917 - one option per limit
    study: Study,
    max_flops: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="FLOPs (MACs): 40% of the dense network, or 20M.")
    ] = None,
    max_params: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="Parameters: 40% of the dense network, or 0.3M.")
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(metavar="LIMIT", help="Activation memory: 40% of the dense network, or 300KB."),
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="Latency by its table: 60% of the dense, or 0.8ms.")
    ] = None,
    min_accuracy: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="Validation accuracy: 92%.")
    ] = None,
    max_drop: Annotated[
        str | None, typer.Option(metavar="POINTS", help="Accuracy lost against the dense network: 0.5.")
    ] = None,
    knee: Annotated[bool, typer.Option("--knee", help="Where the front bends most.")] = False,  # noqa: FBT002
    closest: Annotated[  # noqa: FBT002
        bool, typer.Option("--closest", help="Nearest to the limits, taken for wishes, or to the ideal.")
    ] = False,
    cheapest: Annotated[  # noqa: FBT002
        bool, typer.Option("--cheapest", help="Of the networks within the limits, the cheapest.")
    ] = False,
    top: Annotated[int | None, typer.Option(min=1, metavar="N", help="Show the N best in a table.")] = None,
    confirm: Annotated[
        int, typer.Option(min=0, metavar="N", help="Repeat the pick under N other seeds.")
    ] = 0,
    no_test: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-test", help="Do not look at the test images.")
    ] = False,
    storage: Storage = RESULTS,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Choose a network of a study, and say why.

    The most accurate within the limits; the cheapest, if they are on accuracy only.
    """
    from search.commands.pick import PickRequest, pick_network, rule_of

    request = PickRequest(
        max_flops=max_flops,
        max_params=max_params,
        max_memory=max_memory,
        max_latency=max_latency,
        min_accuracy=min_accuracy,
        max_drop=max_drop,
        rule=rule_of(knee=knee, closest=closest, cheapest=cheapest),
        top=top,
        test=not no_test,
        num_repeats=confirm,
    )
    pick_network(study, storage, request, as_json=as_json)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - one argument per option
    study: Study,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Number of a trial, or `picked`.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to, instead of the study's exports folder.")
    ] = None,
    formats: Annotated[
        str, typer.Option(metavar="NAMES", help="Which of onnx, pt2 and safetensors.")
    ] = "onnx,pt2,safetensors",
    fold_batch_norm: Annotated[  # noqa: FBT002
        bool, typer.Option("--fold-batch-norm", help="Make batch normalisations part of other layers.")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Also in int8, with its accuracy.")] = False,  # noqa: FBT002
    target_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Most bytes of a file: 1MB, 300KB. In int8 if nothing else fits."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export in --out.")] = False,  # noqa: FBT002
    storage: Storage = RESULTS,
) -> None:
    """Write a network as ONNX, torch.export and weights.

    Proved equal to what was recorded, and scored on the test images.
    """
    from search.commands.export import ExportRequest, export_trial

    request = ExportRequest(
        trial=trial,
        out=out,
        formats=formats,
        fold_batch_norm=fold_batch_norm,
        int8=int8,
        target_size=target_size,
        overwrite=overwrite,
    )
    export_trial(study, storage, request)


@app.command()
def register(study: Study, storage: Storage = RESULTS) -> None:
    """Put the front's networks into MLflow's model registry.

    Aliases: smallest, balanced, most-accurate, champion (the picked one).
    """
    from search.commands.register import register_study

    register_study(study, storage)


@app.command()
def ui(
    storage: Storage = RESULTS,
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65534, help="Of MLflow, on the loopback address; optuna-dashboard: the next."
        ),
    ] = 5000,
) -> None:
    """Browse the studies in MLflow, and in optuna-dashboard if it is installed, until Ctrl-C."""
    from search.commands.ui import serve_ui

    serve_ui(storage, port)


def _read_first(spec: Path, overrides: list[str] | None) -> None:
    """Have mistakes in a spec answered at once, before torch and Ray are loaded."""
    from search.spec import load_spec

    load_spec(spec, overrides or [])


def main() -> None:
    """Run the command line."""
    # Read when torch is imported: threads that spin while they wait slow down all others on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(prog_name="prunefront")
    except KeyboardInterrupt:  # before a command had begun
        warn("interrupted")
        sys.exit(INTERRUPTED)
