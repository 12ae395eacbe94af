"""What a training needs to go on later, in another process, as if it had never paused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["TrainingState", "capture_state", "restore_state"]

_NETWORK, _RANDOM = "network.", "random."
_SLOTS = {"momentum_buffer": "momentum.", "exp_avg": "mean.", "exp_avg_sq": "square.", "step": "step."}
"""What SGD and Adam keep for each parameter, and the prefix of its names here."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingState:
    """A training between two epochs.

    ``losses``: mean loss of each finished epoch, so their number is the position in the learning-rate schedule.
    ``tensors``: on the CPU; weights and buffers, what the optimiser keeps, and the states of the random generators.
    """

    losses: tuple[float, ...]
    tensors: Mapping[str, Tensor]

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.losses)


def capture_state(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    generators: Mapping[str, torch.Generator],
    device: torch.device,
    losses: tuple[float, ...],
) -> TrainingState:
    """Copy everything that the next epoch depends on.

    Args:
        network: In training.
        optimiser: SGD or Adam over the network's own parameters.
        generators: By name, sources of order and augmentation (``order``) and of other noise.
        device: Where it trains; its default generator is what dropout draws from.
        losses: Of the finished epochs.
    """
    kept = {
        prefix + name: optimiser.state[parameter][slot]
        for name, parameter in network.named_parameters()
        for slot, prefix in _SLOTS.items()
        if optimiser.state[parameter].get(slot) is not None
    }
    random = {name: generator.get_state() for name, generator in generators.items()}
    random["cpu"] = torch.random.get_rng_state()
    if device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(device)
    named = [
        *((_NETWORK + name, tensor) for name, tensor in network.state_dict().items()),
        *kept.items(),
        *((_RANDOM + name, tensor) for name, tensor in random.items()),
    ]
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named}
    return TrainingState(losses=losses, tensors=tensors)


def restore_state(
    state: TrainingState,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    generators: Mapping[str, torch.Generator],
    device: torch.device,
) -> None:
    """Put a network, its optimiser and the generators, the process's own included, where ``capture_state`` found them.

    On another kind of device than the state was captured on, dropout, and noise that is drawn there, go on with other
    draws.
    """
    weights = network.state_dict()
    for name, tensor in _part(state, _NETWORK).items():
        weights[name].copy_(tensor)
    parameters = dict(network.named_parameters())
    for slot, prefix in _SLOTS.items():
        for name, tensor in _part(state, prefix).items():
            parameter = parameters[name]
            is_like_it = tensor.shape == parameter.shape  # Adam's count of steps is not, and stays on the CPU
            own = torch.empty_like(parameter).copy_(tensor) if is_like_it else tensor.clone()
            optimiser.state[parameter][slot] = own.detach()
    random = _part(state, _RANDOM)
    for name, generator in generators.items():
        if random[name].shape == generator.get_state().shape:
            generator.set_state(random[name])
    torch.random.set_rng_state(random["cpu"])
    if device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"], device)


def _part(state: TrainingState, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor for name, tensor in state.tensors.items() if name.startswith(prefix)
    }
