"""What a network is made of: each layer's output shape, parameters, multiply-adds and memory.

Memory is that of one sample in training, in float32, as tables of layers print it: what each layer gives, and as much
again for its gradient, and the parameters. What is computed in place counts as if it were not, and what optimizer and
libraries need comes on top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from couloir.config.build import build, build_untrained
from couloir.config.given import Given, given_by, in_words
from couloir.config.image_size import ImageSize, sample_shape
from couloir.errors import CouloirError
from couloir.finetune.parts import Learning
from couloir.loss.classification import CrossEntropy, NegativeLogLikelihood
from couloir.loss.focal import Focal
from couloir.task.build import learning
from couloir.torch_private import viewed, writes

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
PARAMETRIZATIONS = "parametrizations"
"""The part of a layer that computes its weight."""
FLOAT = 4
"""Bytes of a number."""
LOSS = "(loss)"
"""The name of the row for what the loss does to the outputs; it is no layer of the network."""
CANNOT = (NotImplementedError, RuntimeError, CouloirError)
"""How a network says that it cannot be built without memory for its weights: a user's module may need real numbers."""


SMALL_NETWORK, SMALL_INPUT = 1_000_000, 4096
"""Weights, and numbers of a sample, up to which a network is built with its weights."""


@dataclass
class Layer:
    """One layer, in the order in which a sample passes through.

    Attributes:
        name: its dotted name in the network.
        type: its class.
        output_shape: without the batch.
        parameters: its own; those that an earlier layer had already count there.
        multiply_adds: of one sample, over all its calls.
        trained: how many of its parameters learn, in some epoch.
        activations: numbers that it gives of one sample, over all its calls; of a module with layers, those that it
            computes between them, such as the sum of a residual block.
    """

    name: str
    type: str
    output_shape: list[int]
    parameters: int
    multiply_adds: int
    trained: int = 0
    activations: int = 0

    @property
    def memory(self) -> int:
        """Bytes of activations, their gradients and parameters."""
        return FLOAT * (2 * self.activations + self.parameters)


class Met:
    """The tensors that layers have given in a pass, so that those are found which were computed between layers.

    Attributes:
        running: the modules that a sample is in, the outermost first.
    """

    def __init__(self) -> None:
        self.running: list[nn.Module] = []
        self._kept: dict[int, Tensor] = {}  # so that no other tensor has the id of one of them
        self._versions: list[int] = []
        self._begun = False

    def enter(self, module: nn.Module, inputs: Any) -> int:
        """A sample comes to a module: how many numbers were computed for it since the last layer.

        What is done to a sample before the first layer is the input in another form, and counts as none.
        """
        new = self._new(inputs)
        self.running.append(module)
        first = next(_tensors(inputs), None)
        self._versions.append(-1 if first is None else writes(first))
        return new if self._begun else 0

    def leave(self, module: nn.Module, inputs: Any, output: Any, is_layer: bool) -> int:
        """A sample leaves a module: how many numbers are the module's own.

        A view of the input is none of its own, nor is the input itself where it has not been changed; dropout, which
        does nothing outside of training, is the exception.
        """
        self.running.pop()
        version = self._versions.pop()
        if not is_layer:
            return self._new(output) if self._begun else 0
        self._begun = True
        first, own = next(_tensors(inputs), None), 0
        for tensor in _tensors(output):
            same = tensor is first and writes(tensor) == version
            view = viewed(tensor) is not tensor and id(viewed(tensor)) in self._kept
            if isinstance(module, DROPOUTS) or not (same or view):
                own += tensor.numel()
        self._new(output)
        return own

    def _new(self, value: Any) -> int:
        count = 0
        for tensor in _tensors(value):
            base = viewed(tensor)
            if id(tensor) not in self._kept and id(base) not in self._kept:
                count += tensor.numel()
            self._kept[id(tensor)], self._kept[id(base)] = tensor, base
        return count


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def layers(net: nn.Module, channels: int, image_size: ImageSize | None) -> list[Layer]:
    """The layers of a network for images, or for rows of a table, as `layers_met` has them.

    Args:
        net: the network.
        channels: channels of the images, or columns of the table.
        image_size: of the images, None for tables.
    """
    return layers_met(net, [Given(sample_shape(channels, image_size))])


def layers_met(net: nn.Module, given: Sequence[Given]) -> list[Layer]:
    """The layers in the order in which one sample passes through them, and last those with parameters that it does not
    pass, such as a head for training alone: the rows' parameters add up to the network's.

    A module of several layers has a row behind them where it computes something between them, such as a sum. A layer
    that does nothing has none. What the weight of a layer is computed of, as weight normalisation does, is the layer's.

    Args:
        net: the network; the modes of its modules are left as they were.
        given: what it takes of a sample.
    """
    within = {
        part
        for module in net.modules()
        if is_parametrized(module)
        for part in module.get_submodule(PARAMETRIZATIONS).modules()
    }
    names = {module: name or type(net).__name__ for name, module in net.named_modules() if module not in within}
    modes = {module: module.training for module in names}
    rows: dict[nn.Module, Layer] = {}
    counted: set[int] = set()

    if type(net).forward is nn.Module.forward and "forward" not in vars(net):
        raise CouloirError(
            f"The layers of a network are those that a pass of a sample meets, and {type(net).__name__} has no method "
            "forward.",
            next_step="give it one, which passes each of its parts once; training by its parts alone needs none",
        )

    def add(module: nn.Module, output_shape: list[int]) -> None:
        own = [parameter for parameter in own_parameters(module) if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in own)
        parameters = sum(parameter.numel() for parameter in own)
        trained = sum(parameter.numel() for parameter in own if parameter.requires_grad)
        rows[module] = Layer(names[module], layer_type(module), output_shape, parameters, 0, trained)

    met = Met()
    between = dict.fromkeys(names, 0)

    def enter(module: nn.Module, inputs: Any, named: Any) -> None:
        around = met.running[-1] if met.running else None
        computed = met.enter(module, (*inputs, *named.values()))
        if around is not None:
            between[around] += computed

    def leave(module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        is_layer = all(part in within for part in module.children())
        own = met.leave(module, (*inputs, *named.values()), output, is_layer) + between[module]
        between[module] = 0
        if does_nothing(module) or not (is_layer or own or own_parameters(module)):
            return
        if isinstance(module, nn.AdaptiveAvgPool2d) and not own:
            return  # the maps had the size already
        own_kind = not type(module).__module__.startswith("torch.")
        if is_layer and own_kind and not own and inputs and output is inputs[0]:
            return  # it hands on what it is given, such as numbers that need no embedding
        first = next(iter(output), None) if isinstance(output, tuple) else output
        if module not in rows:
            add(module, list(first.shape[1:]) if isinstance(first, Tensor) else [])
        rows[module].activations += own
        rows[module].multiply_adds += multiply_adds(module, inputs[0] if inputs else None, output)

    hooks = [
        hook
        for module in names
        for hook in (
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, with_kwargs=True),
        )
    ]
    try:
        with torch.inference_mode(False), torch.no_grad():
            net.eval()(*_zeros(net, given))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    for module in names:
        if module not in rows and any(id(parameter) not in counted for parameter in own_parameters(module)):
            add(module, [])
    return list(rows.values())


def own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module without those of its parts; those that its weight is computed of are its own."""
    parametrized = list(module.get_submodule(PARAMETRIZATIONS).parameters()) if is_parametrized(module) else []
    return [*module.parameters(recurse=False), *parametrized]


def layer_type(module: nn.Module) -> str:
    """The name of a module's class, as it was before its weight was computed of others."""
    return str(type_before_parametrizations(module).__name__)


def does_nothing(module: nn.Module) -> bool:
    """Whether a module gives what it takes, in training as well."""
    return isinstance(module, nn.Identity) or (isinstance(module, DROPOUTS) and module.p == 0)


def layers_of(cfg: DictConfig, net: nn.Module | None = None) -> tuple[list[Layer], nn.Module, Learning | None]:
    """The layers of `cfg.model`, the network that they were found in, and what of it learns; None: all of it.

    Where the loss takes a softmax of the outputs, that is the last row. It has neither parameters nor memory, which are
    the network's.

    Args:
        cfg: a sentence's configuration; its network is built without memory for its weights, where it can be.
        net: the network itself, for where it cannot; None: it is built. A small one is built with its weights: without
            them, an interpolation imports SymPy, which takes longer than all else at the end of a small run.

    Raises:
        RuntimeError: a single sample cannot pass through it; or ValueError.
    """
    given = given_by(cfg.data)
    without_weights = nullcontext() if net is not None and _is_small(net, given) else torch.device("meta")
    try:
        with torch.random.fork_rng(devices=()), without_weights:
            unreal: nn.Module = build_untrained(cfg)
            rows, net, found = _with_what_learns(cfg, unreal, given)
    except CANNOT:
        net = build_untrained(cfg) if net is None else net
        rows, net, found = _with_what_learns(cfg, net, given)
    taken = _taken_by_loss(cfg)
    outputs = next((row.output_shape for row in reversed(rows) if row.output_shape), None)
    if taken and outputs:
        rows.append(Layer(LOSS, taken, outputs, 0, 0))
    return rows, net, found


def _is_small(net: nn.Module, given: Sequence[Given]) -> bool:
    """Whether a pass of a sample through a network takes a moment, and its weights no memory to speak of."""
    inputs = sum(math.prod(each.shape) for each in given)
    return inputs <= SMALL_INPUT and sum(parameter.numel() for parameter in net.parameters()) <= SMALL_NETWORK


def _taken_by_loss(cfg: DictConfig) -> str:
    """What the loss takes of the outputs of a network that gives logits."""
    loss = build(cfg, "loss") if cfg.get("loss") is not None else None
    if isinstance(loss, CrossEntropy | NegativeLogLikelihood | Focal):
        return "LogSoftmax"
    return "Softmax" if getattr(loss, "expects", None) == "distribution" else ""


def _with_what_learns(
    cfg: DictConfig, net: nn.Module, given: Sequence[Given]
) -> tuple[list[Layer], nn.Module, Learning | None]:
    """The layers, once `finetune` has fixed what never learns."""
    found = learning(cfg, net, _zeros(net, given)[0]) if cfg.get("finetune") is not None else None
    return layers_met(net, given), net, found


def _zeros(net: nn.Module, given: Sequence[Given]) -> list[Tensor]:
    """A batch of one sample where the network's weights are, and of their precision."""
    first = next((parameter for parameter in net.parameters() if parameter.is_floating_point()), torch.empty(0))
    return [
        torch.zeros((1, *each.shape), dtype=torch.int64 if each.tokens else first.dtype, device=first.device)
        for each in given
    ]


def multiply_adds(module: nn.Module, x: Any, output: Any) -> int:
    """Multiply-adds of one call for one sample; convolutions and linear layers count, as in papers' tables: what pools,
    interpolates or moves pixels has none. A transposed convolution multiplies its kernel with each pixel of its input,
    also where it cuts off some of the sums. A layer of another kind may have a method `multiply_adds(x, output)`.

    Args:
        module: the layer.
        x: its input; the whole of it belongs to the sample, wherever the layer expects the batch.
        output: what it gave.
    """
    if isinstance(module, nn.RNNBase) and isinstance(x, Tensor):
        # Each matrix is multiplied once a step: those of all gates, layers and directions, and no bias.
        return x.shape[1 if module.batch_first else 0] * sum(
            each.numel() for each in module.parameters() if each.ndim == 2
        )
    if not isinstance(output, Tensor):
        return 0
    if isinstance(module, CONVOLUTIONS):
        return output.numel() * (module.in_channels // module.groups) * math.prod(module.kernel_size)
    if isinstance(module, TRANSPOSED) and isinstance(x, Tensor):
        return x.numel() * (module.out_channels // module.groups) * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    own = getattr(module, "multiply_adds", None)
    return int(own(x, output)) if callable(own) else 0


def totals(rows: list[Layer], net: nn.Module) -> dict[str, int]:
    """Parameters, those that learn in some epoch, and multiply-adds of one sample."""
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "trainable_parameters": sum(row.trained for row in rows),
        "multiply_adds": sum(row.multiply_adds for row in rows),
    }


def memory(rows: list[Layer], net: nn.Module, given: Sequence[Given]) -> dict[str, int]:
    """Bytes of one sample in training: the input, activations and their gradients, parameters, and all
    together.
    """
    parts = {
        "input_bytes": sum(each.bytes for each in given),
        "activation_bytes": 2 * FLOAT * sum(row.activations for row in rows),
        "parameter_bytes": FLOAT * totals(rows, net)["parameters"],
    }
    return {**parts, "memory_bytes": sum(parts.values())}


def as_dict(rows: list[Layer], net: nn.Module, given: Sequence[Given]) -> dict[str, Any]:
    """The table as plain values, for JSON."""
    listed = [{**asdict(row), "memory_bytes": row.memory} for row in rows]
    return {"layers": listed, "totals": totals(rows, net) | memory(rows, net, given)}


def as_memory_table(rows: list[Layer], net: nn.Module, given: Sequence[Given]) -> Table:
    """The memory of input and layers for a terminal, in MiB."""
    table = Table()
    table.add_column("layer", overflow="fold")
    for column in ("output shape", "activations", "parameters", "together"):
        table.add_column(column, justify="left" if column == "output shape" else "right", no_wrap=True)
    found = memory(rows, net, given)
    table.add_row("input", in_words(given), "", "", _mib(found["input_bytes"]))
    for row in rows:
        parameters = FLOAT * row.parameters
        activations = row.memory - parameters
        table.add_row(row.name, _shape(row.output_shape), *map(_mib, (activations, parameters, row.memory)))
    table.add_section()
    table.add_row("total", "", *(_mib(found[f"{part}_bytes"]) for part in ("activation", "parameter", "memory")))
    return table


def _shape(sides: Sequence[int]) -> str:
    return " x ".join(str(side) for side in sides)


def _mib(count: int) -> str:
    return "" if count == 0 else f"{count / 2**20:,.2f}" if count >= 2**20 / 200 else "< 0.01"


def as_table(rows: list[Layer], net: nn.Module) -> Table:
    """The table for a terminal."""
    table = Table()
    for column in ("layer", "type"):
        table.add_column(column, overflow="fold")
    table.add_column("output shape", no_wrap=True)
    total = totals(rows, net)
    some_fixed = total["trainable_parameters"] != total["parameters"]
    for column in ("parameters", *(("learn",) if some_fixed else ()), "multiply-adds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        shape = _shape(row.output_shape)
        learn = [_number(row.trained)] if some_fixed else []
        table.add_row(row.name, row.type, shape, _number(row.parameters), *learn, _number(row.multiply_adds))
    table.add_section()
    learn = [f"{total['trainable_parameters']:,}"] if some_fixed else []
    table.add_row("total", "", "", f"{total['parameters']:,}", *learn, f"{total['multiply_adds']:,}")
    return table


def _number(value: int) -> str:
    return f"{value:,}" if value else ""
