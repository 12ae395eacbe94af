"""How sure an accuracy is, given how many images it was counted on.

References:
    [Wilson1927] E. B. Wilson. Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

__all__ = ["Interval", "wilson_interval"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A range of accuracies in [0, 1], both ends included."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends."""
        return (self.high - self.low) / 2

    def __contains__(self, accuracy: float) -> bool:
        return self.low <= accuracy <= self.high


def wilson_interval(num_correct: int, num_images: int, *, confidence: float = 0.95) -> Interval:
    """Return the score interval of a proportion [Wilson1927].

    It stays in [0, 1] and keeps a width at 0 % and 100 %, where the textbook interval has none.

    Raises:
        ValueError: No images, more correct ones than images, or a confidence outside (0, 1).
    """
    if not 0 <= num_correct <= num_images or num_images == 0:
        raise ValueError(
            f"0 <= num_correct <= num_images > 0 must hold, but got {num_correct} of {num_images}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), but got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = num_correct / num_images
    scale = 1 + z**2 / num_images
    centre = (share + z**2 / (2 * num_images)) / scale
    half = z / scale * sqrt(share * (1 - share) / num_images + z**2 / (4 * num_images**2))
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))
