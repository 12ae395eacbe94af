"""How a run chooses the channels to remove: a table of methods."""

from __future__ import annotations

from pruning_core.methods.baselines import propose_l1, propose_random
from pruning_core.methods.interpretation_steered import propose_interpretation_steered
from pruning_core.methods.protocols import ChannelProposal, MethodContext, MethodEntry, Propose
from pruning_core.methods.task_inspired import propose_task_inspired

METHODS: dict[str, MethodEntry] = {
    "interpretation_steered": MethodEntry(
        summary="gates learned on frozen weights, held to the budgets and to the network's own explanations",
        propose=propose_interpretation_steered,
        importance=None,
        needs=("selector", "explanations"),
        reads=("channels", "budgets", "gates", "loss_weights", "seed"),
    ),
    "task_inspired": MethodEntry(
        summary="task relevance x information flow; widths allocated under all budgets at once",
        propose=propose_task_inspired,
        importance="task_inspired",
        needs=("importance",),
        reads=("channels", "budgets"),
    ),
    "l1": MethodEntry(
        summary="largest filters stay; one share for all groups",
        propose=propose_l1,
        importance="l1",
        needs=(),
        reads=("channels", "budgets"),
    ),
    "random": MethodEntry(
        summary="channels by chance; one share for all groups",
        propose=propose_random,
        importance="random",
        needs=(),
        reads=("channels", "budgets", "seed"),
    ),
}

__all__ = ["METHODS", "ChannelProposal", "MethodContext", "MethodEntry", "Propose"]
