"""Read maps inside a network while it runs.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class MapReader:
    """Records the outputs of named modules in every forward pass inside the ``with`` block.

    Works under ``torch.func.functional_call`` and beside other readers of the same network; removes its hooks
    and forgets the maps on exit, also after an error.

        with MapReader(network, ["layer1", "layer2"]) as reader:
            logits_NC = network(images_NCHW)
            maps = reader.maps()
    """

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        self._network = network
        self._layers = tuple(layers)
        self._maps: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        assert not self._handles, "a MapReader is entered once at a time"
        for layer in self._layers:
            module = self._network.get_submodule(layer)
            self._handles.append(module.register_forward_hook(self._recorder(layer)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._maps.clear()

    def maps(self) -> tuple[Tensor, ...]:
        """Hand over the maps of the latest forward pass, in the order of the names, and forget them.

        Raises:
            RuntimeError: A named module has not run since the last call.
        """
        missing = [layer for layer in self._layers if layer not in self._maps]
        if missing:
            raise RuntimeError(f"run the network before reading its maps; no map of {missing[0]!r} yet")
        maps = tuple(self._maps[layer] for layer in self._layers)
        self._maps.clear()
        return maps

    def _recorder(self, layer: str) -> Callable[[nn.Module, object, Tensor], None]:
        def record(_module: nn.Module, _args: object, output: Tensor) -> None:
            self._maps[layer] = output

        return record
