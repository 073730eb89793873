"""What is used of torch's private parts, against the installed version."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
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


def test_something_is_put_around_a_compiled_module() -> None:
    calls: list[str] = []

    def wrap(call: Any) -> Any:
        return lambda *inputs: calls.append("called") or call(*inputs)

    net = nn.Linear(2, 2)
    assert not torch_private.around_compiled(net, wrap)
    net.compile(backend="eager")
    assert torch_private.around_compiled(net, wrap)
    x = torch.zeros(1, 2)
    assert net(x).shape == (1, 2)
    assert calls == ["called"]


@pytest.mark.parametrize(("fused", "expected"), [(True, True), (False, False)])
def test_a_fused_optimizer_takes_the_scale_out_of_gradients_itself(fused: bool, expected: bool) -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2))], fused=fused)
    assert torch_private.unscales(optimizer) is expected


def test_gradients_of_a_loss_are_those_of_its_own_backward() -> None:
    def gradients(back: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        weight = nn.Parameter(torch.linspace(0, 1, 5, dtype=dtype))
        loss = (weight.sin() * weight).sum().reshape(shape)
        assert back(loss) is None
        assert weight.grad is not None
        assert loss.grad_fn is not None
        with pytest.raises(RuntimeError, match="second time"):
            back(loss)
        return weight.grad

    for dtype in (torch.float32, torch.float64):
        for shape in ((), (1,)):
            ours = gradients(torch_private.backward, dtype, shape)
            assert torch.equal(ours, gradients(Tensor.backward, dtype, shape))


def test_hooks_of_a_step_and_steps_that_are_replaced_are_told() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1)
    assert not torch_private.has_step_hooks(optimizer)
    assert torch_private.steps_by_its_class(optimizer)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert torch_private.steps_by_its_class(optimizer), "a schedule only takes a note"
    hook = optimizer.register_step_post_hook(lambda *_: None)
    assert torch_private.has_step_hooks(optimizer)
    hook.remove()
    assert not torch_private.has_step_hooks(optimizer)
    hook = register_optimizer_step_pre_hook(lambda *_: None)
    assert torch_private.has_step_hooks(optimizer)
    hook.remove()
    optimizer.step = lambda closure=None: None  # type: ignore[method-assign]
    assert not torch_private.steps_by_its_class(optimizer)


@pytest.mark.parametrize("decoupled", [False, True])
def test_the_kernel_of_adam_takes_the_steps_of_adam(decoupled: bool) -> None:
    weight = nn.Parameter(torch.linspace(-1, 1, 7))
    make = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = make([weight], lr=0.1, weight_decay=0.1, fused=True)
    weight.grad = torch.linspace(0, 1, 7)
    optimizer.step()
    (group,), state = optimizer.param_groups, optimizer.state[weight]
    copies = [weight.detach().clone(), *(state[name].clone() for name in ("exp_avg", "exp_avg_sq", "step"))]
    beside = [[copies[1]], [copies[2]], [], [copies[3]]]
    torch_private.fused_adam(decoupled, group, [copies[0]], [weight.grad], beside)
    optimizer.step()
    expected = [weight, state["exp_avg"], state["exp_avg_sq"], state["step"]]
    assert all(map(torch.equal, copies, expected))


def test_the_kernel_of_gradient_descent_takes_its_steps() -> None:
    weight = nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=True, fused=True)
    weight.grad = torch.linspace(0, 1, 7)
    optimizer.step()
    copies = [weight.detach().clone(), optimizer.state[weight]["momentum_buffer"].clone()]
    torch_private.fused_sgd(optimizer.param_groups[0], [copies[0]], [weight.grad], [copies[1]])
    optimizer.step()
    assert all(map(torch.equal, copies, [weight, optimizer.state[weight]["momentum_buffer"]]))


def test_a_schedule_that_is_told_of_a_step_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    torch_private.note_step(optimizer)
    schedule.step()
    assert not recwarn.list


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
