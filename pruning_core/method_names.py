"""The methods by name. This file loads no torch."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MethodName"]


class MethodName(StrEnum):
    """How the channels to remove are chosen; the keys of ``pruning_core.methods.METHODS``."""

    INTERPRETATION_STEERED = "interpretation_steered"
    TASK_INSPIRED = "task_inspired"
    TAYLOR = "taylor"
    ATTRIBUTION = "attribution"
    TF_IDF = "tf_idf"
    GROUP_NORM = "group_norm"
    LAMP = "lamp"
    BN_SCALE = "bn_scale"
    FPGM = "fpgm"
    L2 = "l2"
    L1 = "l1"
    RANDOM = "random"
