"""What is used of torch's private parts, against the installed version."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor, nn
from torch.utils.data import DataLoader

from couloir import torch_private
from waiting import LONGEST


def test_writes_and_views_of_a_tensor_are_told() -> None:
    tensor = torch.zeros(3)
    before = torch_private.writes(tensor)
    tensor.add_(1)
    assert torch_private.writes(tensor) == before + 1
    assert torch_private.viewed(tensor[1:]) is tensor
    assert torch_private.viewed(tensor) is tensor


def test_a_loop_over_steps_stays_one_loop_in_a_program_and_hands_its_state_on() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            def add(state: tuple[Tensor], row: Tensor) -> tuple[tuple[Tensor], Tensor]:
                total = state[0] + row
                return (total,), total.clone()

            return torch_private.scanned(add, (torch.zeros(2),), x)

    sizes = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Sums(), (torch.zeros(3, 2),), dynamic_shapes=(sizes,)).module()
    x = torch.randn(5, 2)
    assert torch.allclose(program(x), x.cumsum(dim=0))


def test_functions_on_tensors_are_told_from_those_that_load_and_set() -> None:
    assert all(map(torch_private.is_tensor_function, ("tanh", "softmax", "einsum", "rand", "zeros", "where", "split")))
    others = ("load", "save", "compile", "set_num_threads", "import_ir_module", "hub", "os", "PyTorchFileWriter")
    assert not any(map(torch_private.is_tensor_function, (*others, "no_such_name")))


def test_all_tensors_are_copied_in_place() -> None:
    source = [torch.arange(3.0), torch.tensor(7), torch.tensor([True, False])]
    to = [torch.zeros_like(tensor) for tensor in source]
    places = [tensor.data_ptr() for tensor in to]
    torch_private.copy_all(to, source)
    assert all(map(torch.equal, to, source))
    assert [tensor.data_ptr() for tensor in to] == places


@pytest.mark.parametrize(("fused", "expected"), [(True, True), (False, False)])
def test_a_fused_optimizer_takes_the_scale_out_of_gradients_itself(fused: bool, expected: bool) -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2))], fused=fused)
    assert torch_private.unscales(optimizer) is expected


def test_a_part_that_does_not_compile_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo.config

    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    given: list[Any] = []

    def broken(graph: Any, inputs: list[Tensor]) -> Any:
        given.append(graph)
        raise RuntimeError("no compiler")

    torch_private.run_what_does_not_compile()
    assert torch.compile(lambda x: x * 2 + 1, backend=broken)(torch.tensor(3.0)) == 7
    assert given


def test_the_graph_of_a_network_names_its_layers_and_the_shapes_between_them() -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU()).eval()
    graph = GraphDef.FromString(torch_private.graph(net, torch.zeros(1, 3)))
    linear = next(node for node in graph.node if node.op == "aten::linear")
    assert "Linear[0]" in linear.name
    assert [size.size for size in linear.attr["_output_shapes"].list.shape[0].dim] == [1, 5]


@pytest.fixture
def loader() -> Iterator[DataLoader[Tensor]]:
    data: Any = [torch.tensor(number) for number in range(20)]
    loader = DataLoader(data, num_workers=2, persistent_workers=True)
    yield loader
    for process in torch_private.workers_of(torch_private.iterator_of(loader)):
        process.kill()


def test_the_workers_of_a_loader_are_found_and_ended(loader: DataLoader[Tensor]) -> None:
    before = {process.pid for process in multiprocessing.active_children()}
    assert torch_private.iterator_of(loader) is None
    iterator = iter(loader)
    assert next(iterator) == 0
    assert torch_private.iterator_of(loader) is iterator
    workers = torch_private.workers_of(iterator)
    assert {worker.pid for worker in workers} == {child.pid for child in multiprocessing.active_children()} - before
    assert len(workers) == 2
    torch_private.shut_down(iterator)
    for worker in workers:
        worker.join(LONGEST)
        assert worker.exitcode is not None


def test_a_loader_without_workers_has_none() -> None:
    data: Any = [torch.tensor(1)]
    assert torch_private.workers_of(iter(DataLoader(data))) == []
    assert torch_private.workers_of(None) == []
    assert torch_private.iterator_of(None) is None
