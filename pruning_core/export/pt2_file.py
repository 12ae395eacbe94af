"""``torch.export``: the network as a program that torch alone runs, for any batch size.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruning_core.errors import UnsupportedNetworkError
from pruning_core.export.exported_file import (
    ExportedFile,
    NetworkExporter,
    check_difference,
    largest_difference,
    tracing_images,
)
from pruning_core.export.quiet import quietly

PT2_FILE = "network.pt2"


def export_pt2(network: nn.Module, folder: Path, example_images_NCHW: Tensor) -> ExportedFile:
    """Write the program with a dynamic batch dimension, read it back and compare at batches of 1, 3 and of all images.

    Source lines and paths of the program that made it do not get into the file.
    """
    path = folder / PT2_FILE
    program = trace_program(network, example_images_NCHW)
    with quietly():
        torch.export.save(program, path)
        loaded = torch.export.load(path).module()
    difference = largest_difference(network, loaded, example_images_NCHW.contiguous())
    check_difference(PT2_FILE, "torch.export", difference)
    return ExportedFile(name=PT2_FILE, relative_difference=difference, facts={"torch": torch.__version__})


def trace_program(network: nn.Module, example_images_NCHW: Tensor) -> torch.export.ExportedProgram:
    """Return a network in evaluation mode as a program for batches of any size.

    Raises:
        UnsupportedNetworkError: What the network does depends on the values or the number of its images.
    """
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        with quietly(), torch.no_grad():
            program = torch.export.export(
                network, (tracing_images(example_images_NCHW),), dynamic_shapes=shapes
            )
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise UnsupportedNetworkError(
            "the network must be one that torch.export can follow, but: "
            f"{(str(error).strip() or type(error).__name__).splitlines()[0]}; export it in another format"
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


if TYPE_CHECKING:
    _: NetworkExporter = export_pt2
