"""Shape suffixes: G channel groups; I, J grid points along inputs and outputs; K layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.budgets import Resource
from pruning_core.channels import (
    CostModel,
    build_cost_model,
    build_run_cost_model,
    count_run_cost,
    find_channel_groups,
    latency_by_table,
    remove_channels,
)
from pruning_core.config import load_config
from pruning_core.errors import InvalidSettingsError, StorageError
from pruning_core.latency.layer_work import trace_calls
from pruning_core.latency.measuring import MeasuringSettings, measure_table
from pruning_core.latency.table import LatencyGrid, read_latency_table, write_latency_table
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    graph_of,
    images,
    network_named,
    random_selection,
    smallest_selection,
)
from tests.pruning_core_tests.latency_tables import made_up_table, table_of

NETWORKS = ("cifar_resnet8", "flattened_normalised_maps", "concatenated", "grouped_convolution")
GRID = LatencyGrid(inputs=(1, 4, 10), outputs=(2, 8), ms=((0.1, 0.2), (0.05, 0.4), (0.3, 0.3)))


def latency_model(name: str) -> CostModel:
    return build_cost_model(
        network_named(name), graph_of(name, "all"), IMAGE, [Resource.LATENCY], made_up_table(name)
    )


@pytest.mark.parametrize("name", [*NETWORKS, pytest.param("mobilenet_v2", marks=pytest.mark.slow)])
def test_the_model_is_what_the_table_says_of_the_slim_network(name: str) -> None:
    network, graph, model = network_named(name), graph_of(name, "all"), latency_model(name)
    for selection in (smallest_selection(graph), *(random_selection(graph, seed=seed) for seed in range(3))):
        widths = [len(selection.kept[group]) for group in model.names]
        slim = remove_channels(network, graph, selection)
        expected = latency_by_table(slim, IMAGE, made_up_table(name), network)
        assert model.exact(widths).latency_ns == expected
        cost = model.cost(torch.tensor(widths, dtype=torch.float64))[Resource.LATENCY]
        assert 0 <= cost.item() - expected < len(list(slim.modules()))  # each layer rounds down


@pytest.mark.parametrize("name", NETWORKS)
def test_latency_never_falls_with_a_width_and_changes_are_exact(name: str) -> None:
    model = latency_model(name)
    latency = model.resources[Resource.LATENCY]
    generator = np.random.default_rng(0)
    for _ in range(20):
        widths_G = np.array([int(generator.integers(1, size + 1)) for size in model.sizes])
        target_G = np.minimum(widths_G + 1, model.sizes)
        changes_G = latency.changes(widths_G, target_G)
        assert (changes_G >= 0).all()
        for group in range(len(widths_G)):
            alone_G = widths_G.copy()
            alone_G[group] = target_G[group]
            assert changes_G[group] == latency.exact(alone_G) - latency.exact(widths_G)


def test_the_gradient_is_the_slope_between_grid_points() -> None:
    model = latency_model("cifar_resnet8")
    widths_G = (torch.tensor(model.sizes, dtype=torch.float64) * 0.45).requires_grad_()

    def latency(at_G: torch.Tensor) -> torch.Tensor:
        return model.cost(at_G)[Resource.LATENCY]

    assert torch.autograd.gradcheck(latency, (widths_G,))


def test_the_envelope_never_falls() -> None:
    np.testing.assert_array_equal(
        GRID.nanoseconds, [[100_000, 200_000], [100_000, 400_000], [300_000, 400_000]]
    )


@pytest.mark.parametrize(
    ("inputs", "outputs", "nanoseconds"),
    [(1, 2, 100_000), (4, 8, 400_000), (1, 5, 150_000), (2, 2, 100_000), (7, 5, 300_000), (3, 3, 138_888)],
)
def test_between_grid_points_latency_is_bilinear(inputs: int, outputs: int, nanoseconds: int) -> None:
    assert GRID.at(np.array([inputs]), np.array([outputs])) == [nanoseconds]


def test_layers_of_equal_work_share_a_key_whatever_their_widths() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(8), nn.Conv2d(8, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.PReLU(), nn.Flatten(), nn.Linear(4 * 32 * 32, 2),
    ).eval()  # fmt: skip
    calls = {call.layer: call for call in trace_calls(network, images(1))}
    assert list(calls) == ["0", "1", "2", "3", "4", "7"]  # one slope for all channels costs nothing by width
    assert calls["0"].key == calls["3"].key != calls["4"].key
    assert [(call.inputs, call.outputs) for call in calls.values()] == [
        (3, 8), (1, 8), (1, 8), (8, 4), (1, 4), (4096, 2),
    ]  # fmt: skip
    for call in calls.values():
        layer = call.build(call.inputs, call.outputs).eval()
        shape = call.input_shape(call.inputs, call.outputs)
        assert {k: v.shape for k, v in layer.state_dict().items()} == {
            k: v.shape for k, v in network.get_submodule(call.layer).state_dict().items()
        }
        assert layer(torch.zeros(1, *shape)).shape[0] == 1


def test_a_measured_table_covers_its_network_and_survives_its_file(tmp_path: Path) -> None:
    network = network_named("grouped_convolution")
    settings = MeasuringSettings(repeats=2, grid_points=2)
    told: list[tuple[int, int]] = []
    threads = torch.get_num_threads()
    table = measure_table(network, IMAGE, settings, lambda done, total: told.append((done, total)))
    assert torch.get_num_threads() == threads
    assert told == [(done, len(table.layers)) for done in range(1, len(table.layers) + 1)]
    assert table.network_ms > 0
    assert latency_by_table(network, IMAGE, table) > 0
    write_latency_table(table, tmp_path / "folder" / "table.json")
    assert read_latency_table(str(tmp_path / "folder" / "table.json")) == table
    config = load_config(
        {"budgets": {"latency_ms": 0.5}, "latency_table": str(tmp_path / "folder" / "table.json")}
    )
    graph = find_channel_groups(network, IMAGE, scope="all")
    model = build_run_cost_model(network, graph, IMAGE, config)
    assert model.dense == count_run_cost(network, IMAGE, config, graph=graph, dense=network)
    assert model.dense.latency_ns == latency_by_table(network, IMAGE, table)


def test_a_layer_that_the_table_lacks_is_named_with_the_command() -> None:
    table = made_up_table("concatenated")
    key, grid = next(iter(table.layers.items()))
    narrow = LatencyGrid(inputs=grid.inputs[:1], outputs=grid.outputs[:1], ms=((grid.ms[0][0],),))
    for layers in (table.layers | {key: narrow}, {k: v for k, v in table.layers.items() if k != key}):
        with pytest.raises(InvalidSettingsError, match=r"must cover every layer .*prunefront latency SPEC"):
            latency_by_table(network_named("concatenated"), IMAGE, table_of(layers))


def test_a_latency_budget_without_a_table_is_refused_with_the_command() -> None:
    network = network_named("concatenated")
    config = load_config({"budgets": {"latency_ms": 0.5}})
    with pytest.raises(InvalidSettingsError, match=r"latency_table is not set; .*: prunefront latency SPEC"):
        build_run_cost_model(network, graph_of("concatenated", "all"), IMAGE, config)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("{}", "device: Field required"),
        ('{"schema_version": 2}', "schema_version: Input should be 1"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(InvalidSettingsError, match=rf"table.json' is not: {reason}") as caught:
        read_latency_table(str(path))
    assert "\n" not in str(caught.value)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidSettingsError, match="not UTF-8 text"):
        read_latency_table(str(path))


@pytest.mark.parametrize(
    ("inputs", "ms", "problem"),
    [
        ((2, 2), ((1.0,), (2.0,)), "must ascend"),
        ((0,), ((1.0,),), "must ascend"),
        ((1, 2), ((1.0,),), "2 x 1 channels needs as many times"),
        ((1,), ((1.0, 2.0),), "1 x 1 channels needs as many times"),
    ],
)
def test_a_grid_without_a_time_per_point_is_refused(
    inputs: tuple[int, ...], ms: tuple[tuple[float, ...], ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        LatencyGrid(inputs=inputs, outputs=(1,), ms=ms)


def test_a_table_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="the latency table must be written to"):
        write_latency_table(made_up_table("concatenated"), tmp_path / "file" / "table.json")
