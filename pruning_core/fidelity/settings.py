"""How finely explanations are measured."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.errors import InvalidSettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelitySettings:
    """How finely explanations are measured.

    ``curve_steps``: steps of a deletion or insertion curve, which has one point more. ``gradient_steps``: points of
    the path that integrated gradients averages over. ``blur_width``: standard deviation of the blur that
    insertion starts from, as a share of the longer side. ``batch_size``: images at a time. ``seed``: decides which
    other image gives an image's chance level.

    Raises:
        InvalidSettingsError: A number that is not positive.
    """

    curve_steps: int = 8
    gradient_steps: int = 16
    blur_width: float = 0.125
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("curve_steps", "gradient_steps", "blur_width", "batch_size"):
            value = getattr(self, name)
            if not value > 0:
                raise InvalidSettingsError(f"{name} must be positive, but got {value:g}")
