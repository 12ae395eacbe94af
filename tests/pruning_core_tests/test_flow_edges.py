"""Flow edges: the outputs of the next layers that a channel feeds most."""

from __future__ import annotations

import pytest
import torch

from pruning_core.importance import IMPORTANCES, rate_channels
from pruning_core.importance.block_leverage import ConsumerReads
from pruning_core.importance.flow_edges import edge_energies, strongest_edges
from pruning_core.importance.information_flow import contribution_gram, energy
from tests.pruning_core_tests.importance_cases import INNER, OUTER, importance_context, seeded_network


def random_reads(*, seed: int = 0, outputs: int = 4) -> ConsumerReads:
    generator = torch.Generator().manual_seed(seed)
    return ConsumerReads(
        patches_MCO=torch.randn(60, 3, 5, generator=generator, dtype=torch.float64) + 2,
        weight_DCO=torch.randn(outputs, 3, 5, generator=generator, dtype=torch.float64),
    )


def test_an_edge_is_the_energy_of_what_one_channel_adds_to_one_output() -> None:
    reads = random_reads()
    centred = reads.patches_MCO - reads.patches_MCO.mean(dim=0)
    contributions = torch.einsum("mco,dco->mdc", centred, reads.weight_DCO)
    torch.testing.assert_close(edge_energies(reads), contributions.square().mean(dim=0))


def test_edges_of_a_channel_add_up_to_its_energy_as_a_flow() -> None:
    reads = random_reads()
    gram_CC = contribution_gram(reads.patches_MCO, reads.weight_DCO)
    torch.testing.assert_close(edge_energies(reads).sum(dim=0), energy(gram_CC))


def test_all_edges_of_all_consumers_add_up_to_one_and_consumers_count_equally() -> None:
    first, second = random_reads(), random_reads(seed=1, outputs=6)
    louder = ConsumerReads(patches_MCO=second.patches_MCO, weight_DCO=30 * second.weight_DCO)
    edges = strongest_edges(["a", "b"], [first, louder], num_edges=10)
    assert float(edges.share_CE.sum()) == pytest.approx(1)
    assert float(edges.share_CE[edges.layer_CE == 1].sum()) == pytest.approx(0.5)
    assert bool((edges.share_CE.diff(dim=1) <= 0).all())


def test_a_planted_edge_is_the_strongest_and_a_channel_that_nobody_reads_has_none() -> None:
    reads = random_reads()
    reads.weight_DCO[2, 1] *= 50
    reads.weight_DCO[:, 0] = 0
    edges = strongest_edges(["a", "b"], [random_reads(seed=3), reads])
    assert edges.of_channel(1)[0][:2] == ("b", 2)
    assert len(edges.of_channel(1)) == 3
    alone = strongest_edges(["b"], [reads])
    assert alone.of_channel(0) == []


def test_the_task_inspired_importance_names_the_readers_of_every_channel() -> None:
    rating = rate_channels(IMPORTANCES["task_inspired"], importance_context(seeded_network()))
    assert rating.edges[INNER].layers == ("conv2",)
    assert rating.edges[OUTER].layers == ("classifier",)
    assert rating.edges[INNER].share_CE.shape == (8, 3)
    assert rate_channels(IMPORTANCES["l1"], importance_context(seeded_network())).edges == {}
