"""The steps that ``benchmarks.throughput`` times: as a stage runs them, or alone with everything on the device.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width (C of gates: all gated channels)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.memory_traffic import StepNumbers, count_training, counting_outputs, num_weights
from benchmarks.speed_steps import (
    Workload,
    build_untrained,
    next_batch,
    steering_parts,
    synthetic_data,
    trainings,
)
from benchmarks.stepping import SteppedRun
from pruning_core.channels import GatePlaces
from pruning_core.config import TrainingConfig, load_config
from pruning_core.data import Batch, DataSplits, iterate_batches, load_data, take
from pruning_core.gating.gated_network import explain_gated, frozen_problem
from pruning_core.gating.step_loss import steering_distance
from pruning_core.precision import run_in
from pruning_core.progress import StepReport
from pruning_core.saliency import explain
from pruning_core.training import make_optimiser, train_classifier

STEPS = ("training", "steering")
Step = Callable[[], object]
Compiled = TypeVar("Compiled", bound=Callable[..., Any])
_WARM_UP = 3  # runs of what is captured; also makes what is made on first use


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """``rounds`` of ``repeats`` steps each; ``compiler``: a backend of ``torch.compile``."""

    rounds: int
    repeats: int
    compiler: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How a step is run. ``is_stage``: by its stage's own loop; else alone, on a batch that is ready. ``steps``: for
    which of ``STEPS`` there is such a way.
    """

    is_stage: bool = False
    is_compiled: bool = False
    is_graph: bool = False
    steps: tuple[str, ...] = STEPS


WAYS: dict[str, Way] = {
    "stage": Way(is_stage=True),
    "stage, compiled": Way(is_stage=True, is_compiled=True, steps=("training",)),
    "step": Way(),
    "step, CUDA graph": Way(is_graph=True),
    "step, compiled": Way(is_compiled=True),
    "step, compiled, CUDA graph": Way(is_compiled=True, is_graph=True),
}


def images_for(workload: Workload, archive: Path | None) -> DataSplits:
    """Return noise, or the first training images of an .npz file."""
    noise = synthetic_data(workload)
    if archive is None:
        return noise
    data = _read(archive)
    return replace(data, train=next_batch(data, len(noise.train)))


@lru_cache(maxsize=1)
def _read(archive: Path) -> DataSplits:
    return load_data(load_config({"dataset": {"name": "npz", "root": str(archive)}}).dataset)


def make_rounds(
    stack: ExitStack, step: str, way: Way, workload: Workload, data: DataSplits, plan: Plan
) -> Callable[[], None]:
    """Return what does a round of steps each time it is called.

    Args:
        stack: Ends what the steps need while they are taken.
        step: One of ``STEPS``.
        way: How to run it, one that there is for the step.
        workload: Network, batch, device and precision.
        data: To read batches from.
        plan: How many rounds there will be at most, of how many steps, and the compiler of ways that compile.
    """
    compiler = plan.compiler if way.is_compiled else None
    if compiler is not None:
        stack.callback(torch.compiler.reset)  # what was compiled is not met again
    if way.is_stage and step == "training":  # an epoch is a round, because epochs are what is reported
        return stack.enter_context(SteppedRun(_epochs(workload, data, plan, compiler))).step
    if way.is_stage:
        train = trainings(workload, plan.rounds * plan.repeats, data)[step]
        return _repeated(stack.enter_context(SteppedRun(train)).step, plan.repeats)
    alone = {"training": training_step, "steering": steering_step}[step](workload, data, compiler)
    return _repeated(as_cuda_graph(alone) if way.is_graph else alone, plan.repeats)


def _epochs(
    workload: Workload, data: DataSplits, plan: Plan, compiler: str | None
) -> Callable[[StepReport], object]:
    indices_N = torch.arange(plan.repeats * workload.batch) % len(data.train)
    epoch = replace(data, train=take(data.train, indices_N))
    settings = TrainingConfig(epochs=plan.rounds, batch_size=workload.batch)
    return lambda report: train_classifier(
        build_untrained(workload),
        epoch,
        settings,
        seed=0,
        device=workload.device,
        precision=workload.precision,
        compiler=compiler,
        report=report,
    )


def _repeated(step: Step, times: int) -> Callable[[], None]:
    def steps() -> None:
        for _ in range(times):
            step()

    return steps


def training_step(workload: Workload, data: DataSplits, compiler: str | None) -> Step:
    """Return a pass forward and backward and an update of all weights."""
    network = build_untrained(workload).to(workload.device).to(memory_format=torch.channels_last).train()
    optimiser = make_optimiser(network, TrainingConfig())
    batch = _ready_batch(workload, data)
    called = _compiled(network, compiler)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        logits_NC = run_in(workload.precision, called, batch.images_NCHW)
        torch.autograd.backward(F.cross_entropy(logits_NC, batch.labels_N))
        optimiser.step()

    return step


def steering_step(workload: Workload, data: DataSplits, compiler: str | None) -> Step:
    """Return a pass of the gated network with its explanation, forward and backward to the gates.

    What the real step does besides, drawing gates and holding the budget, are small sums over channels, partly on the
    CPU; see the stage's own step for it.
    """
    problem, steering_set = steering_parts(workload, data, build_untrained(workload))
    dense = frozen_problem(problem, workload.device)
    places = GatePlaces(dense.network, dense.graph)
    batch = _ready_batch(workload, data)
    targets_NKP = steering_set.raw_NKP.to(workload.device)
    distance = steering_distance("relative", dense.selector, targets_NKP)
    wanted_NKP, classes_N = (
        targets_NKP[: workload.batch],
        steering_set.classes_N[: workload.batch].to(workload.device),
    )
    num_gates = sum(group.num_channels for group in dense.graph.groups)
    gates_C = torch.full((num_gates,), 0.9, device=workload.device, requires_grad=True)

    def loss_of(gates_C: Tensor) -> Tensor:
        came = explain_gated(dense, places, gates_C, batch.images_NCHW, classes_N)
        return F.cross_entropy(came.logits_NC, batch.labels_N) + distance(came.raw_NKP, wanted_NKP)

    called = _compiled(loss_of, compiler)

    def step() -> None:
        gates_C.grad = None
        torch.autograd.backward(called(gates_C))

    return step


def as_cuda_graph(step: Step) -> Step:
    """Record all that a step launches, and return what launches it again at once."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def count_numbers(workload: Workload) -> dict[str, StepNumbers]:
    """Count what each kind of step reads and writes at least, on the CPU."""
    workload = replace(workload, device="cpu", batch=1, precision="float32")
    data, network = synthetic_data(workload), build_untrained(workload)
    image_1CHW = data.normalisation.apply(next_batch(data, 1).images_NCHW)
    training = count_training(network, image_1CHW)
    selector = steering_parts(workload, data, network)[0].selector
    with torch.no_grad(), counting_outputs(network, selector) as sizes:
        explain(network, selector, image_1CHW)
    steering = replace(training, outputs=sum(sizes), weights=num_weights(network, selector))
    return {"training": training, "steering": steering}


def _compiled(what: Compiled, compiler: str | None) -> Compiled:
    if compiler is None:
        return what
    return cast(Compiled, torch.compile(what, backend=compiler, dynamic=False))


def _ready_batch(workload: Workload, data: DataSplits) -> Batch:
    return next(
        iterate_batches(data.train, data.normalisation, batch_size=workload.batch, device=workload.device)
    )
