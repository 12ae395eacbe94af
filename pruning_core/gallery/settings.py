"""How much a gallery shows and measures."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.errors import InvalidSettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class GallerySettings:
    """How much a gallery shows and measures; both are cut to the number of validation images.

    ``num_shown``: images that are drawn. ``num_measured``: images that similarities are known of. ``seed``: chooses
    both, each with the classes in proportion. ``longest_side``: in pixels, of what is drawn.

    Raises:
        InvalidSettingsError: A number that is not positive, or more images shown than measured.
    """

    num_shown: int = 10
    num_measured: int = 2000
    seed: int = 0
    longest_side: int = 64

    def __post_init__(self) -> None:
        for name in ("num_shown", "num_measured", "longest_side"):
            value = getattr(self, name)
            if value < 1:
                raise InvalidSettingsError(f"{name} must be positive, but got {value}")
        if self.num_shown > self.num_measured:
            raise InvalidSettingsError(
                f"num_shown <= num_measured must hold, but got {self.num_shown} and {self.num_measured}"
            )
