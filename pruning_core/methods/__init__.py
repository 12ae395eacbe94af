"""How a run chooses the channels to remove: a table of methods.

Which stages a method runs after, and which fields they read, is in ``pruning_core.stage_graphs``.
"""

from __future__ import annotations

from pruning_core.config import MethodName
from pruning_core.methods.allocators import ALLOCATORS, Allocate
from pruning_core.methods.interpretation_steered import propose_interpretation_steered
from pruning_core.methods.protocols import ChannelProposal, MethodContext, Propose
from pruning_core.methods.scored import ScoredMethod

METHODS: dict[str, Propose] = {
    "interpretation_steered": propose_interpretation_steered,
    "task_inspired": ScoredMethod(name=MethodName.TASK_INSPIRED),
    "taylor": ScoredMethod(name=MethodName.TAYLOR),
    "attribution": ScoredMethod(name=MethodName.ATTRIBUTION),
    "tf_idf": ScoredMethod(name=MethodName.TF_IDF),
    "group_norm": ScoredMethod(name=MethodName.GROUP_NORM),
    "lamp": ScoredMethod(name=MethodName.LAMP),
    "bn_scale": ScoredMethod(name=MethodName.BN_SCALE),
    "fpgm": ScoredMethod(name=MethodName.FPGM),
    "l2": ScoredMethod(name=MethodName.L2),
    "l1": ScoredMethod(name=MethodName.L1),
    "random": ScoredMethod(name=MethodName.RANDOM),
}

__all__ = ["ALLOCATORS", "METHODS", "Allocate", "ChannelProposal", "MethodContext", "Propose", "ScoredMethod"]
