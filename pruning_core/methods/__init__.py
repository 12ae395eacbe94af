"""How a run chooses the channels to remove: a table of methods.

Which stages a method runs after, and which fields they read, is in ``pruning_core.stage_keys``.
"""

from __future__ import annotations

from pruning_core.methods.baselines import propose_l1, propose_random
from pruning_core.methods.interpretation_steered import propose_interpretation_steered
from pruning_core.methods.protocols import ChannelProposal, MethodContext, Propose
from pruning_core.methods.task_inspired import propose_task_inspired

METHODS: dict[str, Propose] = {
    "interpretation_steered": propose_interpretation_steered,
    "task_inspired": propose_task_inspired,
    "l1": propose_l1,
    "random": propose_random,
}

__all__ = ["METHODS", "ChannelProposal", "MethodContext", "Propose"]
