"""The contract of every method on every kind of network: a whole run within the budgets, its costs exact.

That the slim network answers as the masked one does is proved by each run itself (`channels.verification`).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pruning_core.channels import count_cost
from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.methods import METHODS
from pruning_core.stages import ArtifactStore, load_slim_network, run_trial
from tests.pruning_core_tests import contract_networks
from tests.synthetic import NUM_CLASSES, make_data

DATA = make_data(num_train=32, num_validation=8, num_test=8)
TRAINING = {"epochs": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


def config_of(network: str, method: str, **changes: Any) -> PruningConfig:
    return load_config(
        {
            "architecture": {"name": f"{contract_networks.__name__}:{network}"},
            "method": method,
            "budgets": {"macs": 0.6, "params": 0.7},
            "channels": {"scope": "all", "round_to": 1},
            "dense_training": TRAINING,
            "saliency": {"predictor": TRAINING, "selector": TRAINING},
            "gates": {"steps": 3, "num_images": 16, "batch_size": 16},
            "importance": {"num_images": 32, "num_positions": 64},
            "fine_tuning": TRAINING,
            **changes,
        }
    )


CASES = [(method, network) for method in METHODS for network in contract_networks.__all__]
REFUSED = ("bn_scale", "depthwise_with_gates")


@pytest.mark.parametrize(("method", "network"), [case for case in CASES if case != REFUSED])
def test_every_method_prunes_every_kind_of_network_within_its_budgets(
    store: ArtifactStore, method: str, network: str
) -> None:
    config = config_of(network, method)
    result = run_trial(config, data=DATA, store=store)
    slim = load_slim_network(config, data=DATA, store=store)
    cost = count_cost(slim, DATA.input_shape)
    assert (result.macs, result.params) == (cost.macs, cost.params)
    assert result.macs <= result.limits["macs"] < result.dense_macs
    assert result.params <= result.limits["params"] < result.dense_params
    assert any(kept < dense for kept, dense in result.kept.values())
    with torch.no_grad():
        scores_NK = slim.eval()(torch.randn(2, *DATA.input_shape))
    assert scores_NK.shape == (2, NUM_CLASSES)
    assert bool(scores_NK.isfinite().all())


def test_scales_of_normalisations_are_asked_for_where_there_are_none(store: ArtifactStore) -> None:
    method, network = REFUSED
    with pytest.raises(
        UnsupportedNetworkError, match=r"in every group, but group '2\.down' has none; choose another"
    ):
        run_trial(config_of(network, method), data=DATA, store=store)


@pytest.mark.parametrize("network_weights", ["frozen", "joint"])
@pytest.mark.parametrize("budget_term", ["exact", "lagrangian"])
def test_gates_hold_several_budgets_at_once(
    store: ArtifactStore, network_weights: str, budget_term: str
) -> None:
    gates = {
        "steps": 60,
        "num_images": 16,
        "batch_size": 16,
        "network_weights": network_weights,
        "budget_term": budget_term,
        "dual_restarts": budget_term == "lagrangian",
        "dual_rate": 0.5,
    }
    result = run_trial(
        config_of("zero_padded", "interpretation_steered", gates=gates), data=DATA, store=store
    )
    uses = {name: getattr(result, name) / limit for name, limit in result.limits.items()}
    assert max(uses.values()) <= 1
    assert max(uses.values()) > 0.85, "of the tighter one, as far as three small groups can"
