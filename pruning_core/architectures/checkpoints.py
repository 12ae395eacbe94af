"""Dense weights from a file: safetensors, or PyTorch's own format read as weights only."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pruning_core.errors import InvalidCheckpointError

_SAFETENSORS = frozenset({".safetensors"})
_PYTORCH = frozenset({".pt", ".pth", ".th", ".bin", ".ckpt", ".tar"})
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PARALLEL_PREFIX = "module."
_COUNTER = "num_batches_tracked"  # old checkpoints lack it, and nothing here depends on it


def load_checkpoint(network: nn.Module, path: Path, *, architecture: str) -> None:
    """Load weights into ``network``, in place.

    Names may begin with ``module.``; the weights may lie under ``state_dict`` or ``model``.

    Args:
        network: Unchanged if the weights do not fit.
        path: ``~`` is expanded.
        architecture: What the file was to fit; for the message.

    Raises:
        InvalidCheckpointError: The file is missing, unreadable or of another network, or holds NaN.
    """
    path = path.expanduser()
    weights = _strip_prefix(_read_weights(path))
    _check_fit(weights, network.state_dict(), path=path, architecture=architecture)
    load_tensors(network, weights, strict=False)  # only counters may be missing


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Do what ``load_state_dict`` does with weights that are plain tensors by name, in place.

    A state_dict also carries the version of each module's format, and MNASNet refuses weights without: they are taken
    to be of the network's own versions.
    """
    state = OrderedDict(tensors)
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined] # no public way to say it
    network.load_state_dict(state, strict=strict)


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InvalidCheckpointError(
            f"checkpoint {str(path)!r} must be a file of weights, but does not exist"
        )
    suffix = path.suffix.lower()
    if suffix not in _SAFETENSORS | _PYTORCH:
        raise InvalidCheckpointError(
            f"checkpoint {str(path)!r} must end in {', '.join(sorted(_SAFETENSORS | _PYTORCH))}, but got {suffix!r}"
        )
    try:
        if suffix in _SAFETENSORS:
            return safetensors.torch.load_file(path)
        return _unwrap(torch.load(path, map_location="cpu", weights_only=True), path)
    except pickle.UnpicklingError as error:
        raise InvalidCheckpointError(
            f"checkpoint {str(path)!r} must hold weights only, but is damaged or holds other objects; save "
            "network.state_dict() again"
        ) from error
    except (OSError, EOFError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is empty"
        raise InvalidCheckpointError(
            f"checkpoint {str(path)!r} must be a complete file of weights, but cannot be read ({reason})"
        ) from error


def _unwrap(loaded: object, path: Path) -> Mapping[str, Tensor]:
    if isinstance(loaded, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(loaded.get(wrapper), Mapping):
                loaded = loaded[wrapper]
                break
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise InvalidCheckpointError(
            f"checkpoint {str(path)!r} must hold tensors by name (a state_dict), but holds {type(loaded).__name__}"
            f"{' of other things' if isinstance(loaded, Mapping) else ''}"
        )
    return loaded


def _strip_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if weights and all(name.startswith(_PARALLEL_PREFIX) for name in weights):
        return {name.removeprefix(_PARALLEL_PREFIX): tensor for name, tensor in weights.items()}
    return dict(weights)


def _check_fit(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, path: Path, architecture: str
) -> None:
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [name for name in wanted if name in found and found[name].shape != wanted[name].shape]
    problems = []
    if missing:
        problems.append(f"{len(missing)} of its {len(wanted)} tensors are missing (first: {missing[0]!r})")
    if unexpected:
        problems.append(f"{len(unexpected)} are unexpected (first: {unexpected[0]!r})")
    if misshapen:
        name = misshapen[0]
        problems.append(
            f"{len(misshapen)} have another shape (first: {name!r} is {tuple(found[name].shape)} instead of "
            f"{tuple(wanted[name].shape)})"
        )
    if not problems:
        damaged = [name for name, tensor in found.items() if not torch.isfinite(tensor).all()]
        problems += [f"{name!r} holds NaN or infinity" for name in damaged[:1]]
    if problems:
        raise InvalidCheckpointError(
            f"Checkpoint {str(path)!r} does not fit {architecture!r}: {'; '.join(problems)}."
        )
