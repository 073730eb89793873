"""What a network is made of: each layer's output shape, parameters and multiply-adds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor, nn

from couloir.config.build import build_untrained
from couloir.config.image_size import ImageSize, input_size, sample_shape
from couloir.errors import CouloirError
from couloir.finetune.parts import Learning
from couloir.task.build import learning

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CANNOT = (NotImplementedError, RuntimeError, CouloirError)
"""How a network says that it cannot be built without memory for its weights: a user's module may need real numbers."""


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
    """

    name: str
    type: str
    output_shape: list[int]
    parameters: int
    multiply_adds: int
    trained: int = 0


def layers(net: nn.Module, channels: int, image_size: ImageSize | None) -> list[Layer]:
    """The layers in the order in which one sample passes through them, and last those with parameters that it does not
    pass, such as a head for training alone: the rows' parameters add up to the network's.

    Args:
        net: the network; the modes of its modules are left as they were.
        channels: channels of the images, or columns of the table.
        image_size: of the images, None for tables.
    """
    names = {module: name or type(net).__name__ for name, module in net.named_modules()}
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
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in own)
        parameters = sum(parameter.numel() for parameter in own)
        trained = sum(parameter.numel() for parameter in own if parameter.requires_grad)
        rows[module] = Layer(names[module], type(module).__name__, output_shape, parameters, 0, trained)

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        first = next(iter(output), None) if isinstance(output, tuple) else output
        if module not in rows:
            add(module, list(first.shape[1:]) if isinstance(first, Tensor) else [])
        rows[module].multiply_adds += multiply_adds(module, inputs[0] if inputs else None, output)

    hooks = [
        module.register_forward_hook(record)
        for module in names
        if not list(module.children()) or list(module.parameters(recurse=False))
    ]
    try:
        with torch.no_grad():
            net.eval()(_zeros(net, channels, image_size))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    for module in names:
        if module not in rows and any(id(parameter) not in counted for parameter in module.parameters(recurse=False)):
            add(module, [])
    return list(rows.values())


def layers_of(cfg: DictConfig, net: nn.Module | None = None) -> tuple[list[Layer], nn.Module, Learning | None]:
    """The layers of `cfg.model`, the network that they were found in, and what of it learns; None: all of it.

    Args:
        cfg: a sentence's configuration; its network is built without memory for its weights, where it can be.
        net: the network itself, for where it cannot; None: it is built.

    Raises:
        RuntimeError: a single sample cannot pass through it; or ValueError.
    """
    channels, image_size = int(cfg.data.channels), input_size(cfg.data)
    try:
        with torch.device("meta"):
            unreal: nn.Module = build_untrained(cfg)
            return _with_what_learns(cfg, unreal, channels, image_size)
    except CANNOT:
        net = build_untrained(cfg) if net is None else net
        return _with_what_learns(cfg, net, channels, image_size)


def _with_what_learns(
    cfg: DictConfig, net: nn.Module, channels: int, image_size: ImageSize | None
) -> tuple[list[Layer], nn.Module, Learning | None]:
    """The layers, once `finetune` has fixed what never learns."""
    found = learning(cfg, net, _zeros(net, channels, image_size)) if cfg.get("finetune") is not None else None
    return layers(net, channels, image_size), net, found


def _zeros(net: nn.Module, channels: int, image_size: ImageSize | None) -> Tensor:
    """A batch of one sample where the network's weights are, and of their precision."""
    shape = (1, *sample_shape(channels, image_size))
    first = next((parameter for parameter in net.parameters() if parameter.is_floating_point()), torch.empty(0))
    return torch.zeros(shape, dtype=first.dtype, device=first.device)


def multiply_adds(module: nn.Module, x: Any, output: Any) -> int:
    """Multiply-adds of one call for one sample; convolutions and linear layers count, as in papers' tables: what pools,
    interpolates or moves pixels has none. A transposed convolution multiplies its kernel with each pixel of its input,
    also where it cuts off some of the sums. A layer of another kind may have a method `multiply_adds(x, output)`.

    Args:
        module: the layer.
        x: its input; the whole of it belongs to the sample, wherever the layer expects the batch.
        output: what it gave.
    """
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


def as_dict(rows: list[Layer], net: nn.Module) -> dict[str, Any]:
    """The table as plain values, for JSON."""
    return {"layers": [asdict(row) for row in rows], "totals": totals(rows, net)}


def as_table(rows: list[Layer], net: nn.Module) -> Table:
    """The table for a terminal."""
    table = Table("layer", "type")
    table.add_column("output shape", no_wrap=True)
    total = totals(rows, net)
    some_fixed = total["trainable_parameters"] != total["parameters"]
    for column in ("parameters", *(("learn",) if some_fixed else ()), "multiply-adds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        shape = " x ".join(str(side) for side in row.output_shape)
        learn = [_number(row.trained)] if some_fixed else []
        table.add_row(row.name, row.type, shape, _number(row.parameters), *learn, _number(row.multiply_adds))
    table.add_section()
    learn = [f"{total['trainable_parameters']:,}"] if some_fixed else []
    table.add_row("total", "", "", f"{total['parameters']:,}", *learn, f"{total['multiply_adds']:,}")
    return table


def _number(value: int) -> str:
    return f"{value:,}" if value else ""
