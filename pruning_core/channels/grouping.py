"""Find the channel groups of a network with torch_pruning's dependency graph, and check them by removing channels.

torch_pruning tells which positions of which layers hang together. What it cannot know is guarded here: operations
that are not known to keep channels apart, parameters outside layers, layers that run twice and widths that do
not match bar the channels they touch, and every group left must pass the test of ``proving.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning_core.channels.dependencies import Dependent, find_dependents
from pruning_core.channels.group_assembly import assemble_graph
from pruning_core.channels.layer_shapes import LayerShape, layer_shape
from pruning_core.channels.layer_trace import LayerTrace, evaluation_copy, example_images, trace_layers
from pruning_core.channels.position_links import Dimension, PositionLinks, Side
from pruning_core.channels.proving import leave_unproven_alone
from pruning_core.channels.structures import ChannelGraph
from pruning_core.channels.tapping import TappedNetwork, tap_name
from pruning_core.errors import InvalidSettingsError


@torch.inference_mode(mode=False)  # torch_pruning reads the graph that autograd records
@torch.enable_grad()
def find_channel_groups(
    network: nn.Module, input_shape: tuple[int, int, int], *, scope: str, taps: Sequence[str] = ()
) -> ChannelGraph:
    """Find which channels can only be kept or removed together, and which layers are better left alone.

    Args:
        network: Any network from images to logits; it, its statistics and the random state stay as they are.
        input_shape: (channels, height, width) of one image.
        scope: ``inner`` leaves alone every group that an addition of several layers couples (the residual stream);
            ``all`` does not.
        taps: Modules whose output maps a decoder reads; the graph says where the groups lie in them.

    Raises:
        UnsupportedNetworkError: The network cannot be traced, or no group of it can be removed safely together
            with the others.
        InvalidSettingsError: The scope is unknown, or a tap is no module with a map.
    """
    if scope not in ("inner", "all"):
        raise InvalidSettingsError(f"channels.scope must be 'inner' or 'all', but got {scope!r}")
    duplicate = evaluation_copy(network)
    trace = trace_layers(duplicate, input_shape)
    tapped = TappedNetwork(duplicate, taps, example_images(duplicate, input_shape))
    links = _link_positions(tapped, trace, example_images(duplicate, input_shape))
    graph = assemble_graph(links, _traced_shapes(duplicate, trace), tuple(taps), scope=scope)
    return leave_unproven_alone(duplicate, graph, input_shape)


def _traced_shapes(duplicate: nn.Module, trace: LayerTrace) -> dict[str, LayerShape]:
    """Return the layers that can be sliced, in forward order."""
    shapes = {name: layer_shape(duplicate.get_submodule(name)) for name in trace.places}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def _link_positions(tapped: TappedNetwork, trace: LayerTrace, images_NCHW: Tensor) -> PositionLinks:
    shapes = _traced_shapes(tapped.network, trace)
    widths = [
        (Dimension(name, side), width)
        for name, shape in shapes.items()
        for side, width in ((Side.IN, shape.in_width), (Side.OUT, shape.out_width))
    ]
    widths += [(Dimension(tap_name(tap), Side.IN), width) for tap, width in tapped.widths.items()]
    links = PositionLinks(widths)
    for name, shape in shapes.items():
        _link_within_layer(links, name, shape)
        if name in trace.repeated:
            reason = "it runs several times per image, or shares its weights"
            links.bar(Dimension(name, Side.OUT), range(shape.out_width), reason)
            links.bar(Dimension(name, Side.IN), range(shape.in_width), reason)
    layers = {module: name for name, module in tapped.network.named_modules() if name in shapes}
    layers |= {lateral: tap_name(tap) for tap, lateral in tapped.laterals()}
    recorder = _Recorder(links, dict(widths), layers)
    for found in find_dependents(tapped, images_NCHW, shapes, recorder.knows):
        recorder.record(found)
    return links


def _link_within_layer(links: PositionLinks, name: str, shape: LayerShape) -> None:
    """Inputs and outputs that see each other in a normalisation, depthwise or grouped convolution."""
    if shape.mixes_channels:
        return
    ins, outs = shape.in_width // shape.conv_groups, shape.out_width // shape.conv_groups
    for part in range(shape.conv_groups):
        first = (Dimension(name, Side.IN), part * ins)
        for position in range(part * ins, (part + 1) * ins):
            links.join(first, (Dimension(name, Side.IN), position))
        for position in range(part * outs, (part + 1) * outs):
            links.join(first, (Dimension(name, Side.OUT), position))


class _Recorder:
    """Enters dependents into the links."""

    def __init__(
        self, links: PositionLinks, widths: Mapping[Dimension, int], layers: Mapping[nn.Module, str]
    ) -> None:
        self._links = links
        self._widths = widths
        self._layers = layers
        self._reached: dict[Dimension, set[int]] = defaultdict(set)

    def knows(self, layer: str) -> bool:
        """Tell whether every output of a layer was reached from layers before it: asking it adds nothing."""
        dimension = Dimension(layer, Side.OUT)
        return len(self._reached[dimension]) == self._widths[dimension]

    def record(self, found: Dependent) -> None:
        root = Dimension(found.root, Side.OUT)
        if found.objection is not None:
            self._links.bar(root, found.sources, found.objection)
        if found.adds_layers:
            self._links.mark_as_added(root, found.sources)
        if found.module not in self._layers:
            return
        dimension = Dimension(self._layers[found.module], found.side)
        if max(found.positions) >= self._widths[dimension]:
            reason = f"its channels meet those of {dimension.layer!r}, which has another width"
            self._links.bar(root, found.sources, reason)
            return
        for position, source in zip(found.positions, found.sources, strict=True):
            self._links.join((root, source), (dimension, position))
        self._reached[dimension].update(found.positions)
