"""Sampled input patches of a layer, its matching weights, and the calibration positions they come from.

Shape suffixes used in this file:
    M  sampled output positions (pixels of images)
    C  channels of the group
    O  offsets per channel: positions of the channel times cells of the kernel
    D  output channels of the layer
    S  positions of one channel along the layer's input dimension
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.importance.read_points import ReadPoint


def spread_positions(num_wanted: int, num_available: int, *, seed: int) -> Tensor:
    """Draw ascending indices below ``num_available``, one from each of ``num_wanted`` equal stretches.

    All of them, once, if at least as many are wanted as there are.
    """
    count = min(num_wanted, num_available)
    generator = torch.Generator().manual_seed(seed)
    jitter_M = torch.rand(count, generator=generator, dtype=torch.float64)
    index_M = (torch.arange(count, dtype=torch.float64) + jitter_M) * (num_available / count)
    return index_M.floor().long().clamp_max(num_available - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """What one output of a layer reads, as (rows, columns). ``padding``: left, right, top, bottom; in pixels."""

    kernel: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    padding_mode: str = "constant"

    @classmethod
    def of_layer(cls, layer: nn.Conv2d | nn.Linear) -> Window:
        """Return the window of a convolution; that of a linear layer is a single pixel."""
        if isinstance(layer, nn.Linear):
            return cls()
        return cls(
            kernel=layer.kernel_size,
            stride=layer.stride,
            dilation=layer.dilation,
            padding=_padding(layer),
            padding_mode="constant" if layer.padding_mode == "zeros" else layer.padding_mode,
        )

    def num_outputs(self, padded_size: Sequence[int]) -> tuple[int, int]:
        """Return the rows and columns of the layer's output for a padded input of that size."""
        rows, columns = (
            (size - step * (cells - 1) - 1) // jump + 1
            for size, cells, jump, step in zip(
                padded_size, self.kernel, self.stride, self.dilation, strict=True
            )
        )
        return rows, columns

    def pad(self, maps: Tensor) -> Tensor:
        """Pad maps as the layer does."""
        return F.pad(maps, self.padding, mode=self.padding_mode) if any(self.padding) else maps


class PatchSampler:
    """Collects, while the calibration set streams by, what sampled outputs of one layer read.

    The sample does not depend on how the images are split into batches.

    Args:
        window: Of the layer.
        positions_CS: Where the group's channels lie along its input dimension.
        num_positions: Outputs to sample over all images together.
        num_images: Images that will stream by.
        seed: Of the sample.
    """

    def __init__(
        self, window: Window, positions_CS: Tensor, *, num_positions: int, num_images: int, seed: int
    ) -> None:
        self._window = window
        self._positions_CS = positions_CS
        self._num_positions = num_positions
        self._num_images = num_images
        self._seed = seed
        self._plan_M: Tensor | None = None
        self._parts: list[Tensor] = []

    def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:  # noqa: ARG002
        """Collect the sampled windows of one batch."""
        self._parts.append(self.sample(inputs, first_image))

    def sample(self, inputs: Tensor, first_image: int) -> Tensor:
        """Return the sampled windows of one batch, ``(M, C, O)``, without collecting them."""
        padded = self._window.pad(inputs if inputs.ndim == 4 else inputs[:, :, None, None])
        height, width = self._window.num_outputs(padded.shape[2:])
        chosen_M = self._chosen(height * width, first_image, len(inputs)).to(inputs.device)
        image_M, pixel_M = chosen_M // (height * width), chosen_M % (height * width)
        rows = self._reads(pixel_M // width, dim=0)
        columns = self._reads(pixel_M % width, dim=1)
        window = padded[image_M[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (M, kh, kw, in)
        return _pick_channels(window.permute(0, 3, 1, 2).flatten(2), self._positions_CS)

    def patches(self) -> Tensor:
        """Return what was collected, ``(M, C, O)``."""
        return torch.cat(self._parts)

    def _reads(self, output_M: Tensor, *, dim: int) -> Tensor:
        """Return the rows (or columns) of the padded input that outputs read, one line per output."""
        cells = torch.arange(self._window.kernel[dim], device=output_M.device) * self._window.dilation[dim]
        return output_M[:, None] * self._window.stride[dim] + cells

    def _chosen(self, num_pixels: int, first_image: int, num_images: int) -> Tensor:
        """Return the sampled outputs of this batch, counted from its first one."""
        if self._plan_M is None:
            self._plan_M = spread_positions(
                self._num_positions, self._num_images * num_pixels, seed=self._seed
            )
        begin, end = first_image * num_pixels, (first_image + num_images) * num_pixels
        low, high = torch.searchsorted(self._plan_M, torch.tensor([begin, end])).tolist()
        return self._plan_M[low:high] - begin


def patch_weights(layer: nn.Conv2d | nn.Linear, positions_CS: Tensor) -> Tensor:
    """Return the layer's weights of a group's channels, ``(D, C, O)``, in the order of the patches.

    In a grouped convolution the weights between different groups are zeros.
    """
    weight = layer.weight.detach()
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    weight = weight.reshape(len(weight), weight.shape[1], -1)
    return _pick_channels(_ungrouped(weight, groups), positions_CS)


def fold_scale(weight_DCO: Tensor, norm: nn.Module | None) -> Tensor:
    """Multiply each output by the scale that the batch normalisation behind it applies in eval mode."""
    if norm is None:
        return weight_DCO
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    if norm.running_var is None:
        return weight_DCO
    scale_D = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale_D = scale_D * norm.weight.detach()
    return weight_DCO * scale_D.detach()[:, None, None]


def flow_layer(network: nn.Module, point: ReadPoint) -> nn.Conv2d | nn.Linear:
    """Return the consumer of a read point."""
    layer = network.get_submodule(point.layer)
    assert isinstance(layer, (nn.Conv2d, nn.Linear))  # find_read_points refuses anything else
    return layer


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """Turn ``(D, in / groups, cells)`` into ``(D, in, cells)``."""
    num_outputs, num_inputs, num_cells = weight.shape
    whole = weight.new_zeros(num_outputs, num_inputs * groups, num_cells)
    for index, part in enumerate(torch.chunk(weight, groups)):
        begin = index * num_inputs
        whole[index * len(part) : (index + 1) * len(part), begin : begin + num_inputs] = part
    return whole


def _pick_channels(values: Tensor, positions_CS: Tensor) -> Tensor:
    """Turn ``(rows, in, cells)`` into ``(rows, C, S * cells)``."""
    return values[:, positions_CS.to(values.device)].flatten(2)


def _padding(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Return left, right, top, bottom; ``same`` puts the odd pixel right and below."""
    if layer.padding == "valid":
        return 0, 0, 0, 0
    if isinstance(layer.padding, str):
        height, width = (
            step * (cells - 1) for cells, step in zip(layer.kernel_size, layer.dilation, strict=True)
        )
        return width // 2, width - width // 2, height // 2, height - height // 2
    height, width = layer.padding
    return width, width, height, height
