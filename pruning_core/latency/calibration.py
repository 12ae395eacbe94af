"""From the sum of a network's layers to the network: a factor and a constant, fitted to whole measured networks.

A sum of layers leaves out activations, additions and pooling, and what calling a network costs; and a layer that runs
alone finds its weights in the cache. Both grow and shrink nearly in line with the layers, which is why two numbers do.

Shape suffixes used in this file:
    N  networks of different widths
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class Calibration(BaseModel):
    """``scale * sum of layers + rest_ms`` is a network's latency; the default leaves the sum as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: Annotated[float, Field(gt=0)] = 1.0
    rest_ms: Annotated[float, Field(ge=0)] = 0.0


def fit_calibration(sums_ms: Sequence[float], networks_ms: Sequence[float]) -> Calibration:
    """Return the calibration with the least squared relative errors.

    Args:
        sums_ms: Of the layers of each network, positive.
        networks_ms: The same networks end to end, positive.

    Raises:
        ValueError: There are fewer than two networks, or a time is not positive.
    """
    sums_N, networks_N = np.array(sums_ms, dtype=float), np.array(networks_ms, dtype=float)
    if len(sums_N) != len(networks_N) or len(sums_N) < 2 or (sums_N <= 0).any() or (networks_N <= 0).any():
        raise ValueError(
            "a calibration needs two or more networks with positive times, of their layers and end to end, but got "
            f"{list(sums_ms)} and {list(networks_ms)}"
        )
    relative = np.stack([sums_N / networks_N, 1 / networks_N], axis=1)
    (scale, rest), *_ = np.linalg.lstsq(relative, np.ones(len(sums_N)), rcond=None)
    if rest >= 0 and scale > 0:
        return Calibration(scale=float(scale), rest_ms=float(rest))
    # the constant may not be negative: narrow networks would take less than no time
    alone_N = relative[:, 0]
    return Calibration(scale=float(alone_N.sum() / (alone_N @ alone_N)))
