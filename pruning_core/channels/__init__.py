"""Channel groups of a network: find them, gate them, count what they cost, choose which stay, remove the rest."""

from pruning_core.channels.cost_counter import Cost, count_activation_memory, count_cost
from pruning_core.channels.cost_model import CostModel, build_cost_model
from pruning_core.channels.feasibility import (
    budget_limits,
    check_feasible,
    minimum_cost,
    reachable_floors,
    within_limits,
)
from pruning_core.channels.grouping import find_channel_groups
from pruning_core.channels.latency_cost import latency_by_table
from pruning_core.channels.layout import Layout, slim_layout
from pruning_core.channels.projection import project
from pruning_core.channels.removal import apply_layout, remove_channels
from pruning_core.channels.rounding import (
    allowed_widths,
    minimum_widths,
    nearest_allowed_width,
    rounding_step,
)
from pruning_core.channels.run_cost import (
    build_run_cost_model,
    count_run_cost,
    run_latency_table,
    run_resources,
)
from pruning_core.channels.structures import (
    ChannelGraph,
    ChannelGroup,
    ChannelSelection,
    ChannelUse,
    Role,
    UntouchedLayer,
)
from pruning_core.channels.uniform_allocation import uniform_widths
from pruning_core.channels.verification import verify_removal
from pruning_core.channels.weight_gates import (
    GatePlaces,
    full_selection,
    gate_map,
    gate_weights,
    hard_gates,
    kept_map_positions,
)

__all__ = [
    "ChannelGraph",
    "ChannelGroup",
    "ChannelSelection",
    "ChannelUse",
    "Cost",
    "CostModel",
    "GatePlaces",
    "Layout",
    "Role",
    "UntouchedLayer",
    "allowed_widths",
    "apply_layout",
    "budget_limits",
    "build_cost_model",
    "build_run_cost_model",
    "check_feasible",
    "count_activation_memory",
    "count_cost",
    "count_run_cost",
    "find_channel_groups",
    "full_selection",
    "gate_map",
    "gate_weights",
    "hard_gates",
    "kept_map_positions",
    "latency_by_table",
    "minimum_cost",
    "minimum_widths",
    "nearest_allowed_width",
    "project",
    "reachable_floors",
    "remove_channels",
    "rounding_step",
    "run_latency_table",
    "run_resources",
    "slim_layout",
    "uniform_widths",
    "verify_removal",
    "within_limits",
]
