"""What a network is made of: each layer's output shape, parameters and multiply-adds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass
class Layer:
    """One layer, in the order in which a sample passes through.

    Attributes:
        name: its dotted name in the network.
        type: its class.
        output_shape: without the batch.
        parameters: its own; those that an earlier layer had already count there.
        multiply_adds: of one sample, over all its calls.
    """

    name: str
    type: str
    output_shape: list[int]
    parameters: int
    multiply_adds: int


def layers(net: nn.Module, channels: int, image_size: int | None) -> list[Layer]:
    """The layers that one sample passes through; modules that hold parameters of their own count as layers as well.

    Args:
        net: the network; its mode is left as it was.
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, None for tables.
    """
    rows: dict[str, Layer] = {}
    counted: set[int] = set()

    def record(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if name not in rows:
            own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
            counted.update(id(parameter) for parameter in own)
            shape = list(output.shape[1:]) if isinstance(output, Tensor) else []
            rows[name] = Layer(name, type(module).__name__, shape, sum(p.numel() for p in own), 0)
        rows[name].multiply_adds += multiply_adds(module, inputs[0] if inputs else output, output)

    hooks = []
    for name, module in net.named_modules():
        leaf = not list(module.children())
        if leaf or list(module.parameters(recurse=False)):
            label = name or type(net).__name__

            def hook(module: nn.Module, inputs: Any, output: Any, label: str = label) -> None:
                record(label, module, inputs, output)

            hooks.append(module.register_forward_hook(hook))
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    shape = (1, channels) if image_size is None else (1, channels, image_size, image_size)
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(shape, device=device))
    finally:
        net.train(training)
        for handle in hooks:
            handle.remove()
    return list(rows.values())


def multiply_adds(module: nn.Module, x: Any, output: Any) -> int:
    """Multiply-adds of one call with one sample; convolutions and linear layers count, as in papers' tables."""
    if not isinstance(output, Tensor) or not isinstance(x, Tensor):
        return 0
    if isinstance(module, CONVOLUTIONS):
        return output[0].numel() * (module.in_channels // module.groups) * math.prod(module.kernel_size)
    if isinstance(module, TRANSPOSED):
        return x[0].numel() * (module.out_channels // module.groups) * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output[0].numel() * module.in_features
    return 0


def totals(rows: list[Layer], net: nn.Module) -> dict[str, int]:
    """Parameters, those that are trained, and multiply-adds of one sample."""
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "trainable_parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "multiply_adds": sum(row.multiply_adds for row in rows),
    }


def as_dict(rows: list[Layer], net: nn.Module) -> dict[str, Any]:
    """The table as plain values, for JSON."""
    return {"layers": [asdict(row) for row in rows], "totals": totals(rows, net)}


def as_table(rows: list[Layer], net: nn.Module) -> Table:
    """The table for a terminal."""
    table = Table("layer", "type")
    table.add_column("output shape", no_wrap=True)
    for column in ("parameters", "multiply-adds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        shape = " x ".join(str(side) for side in row.output_shape)
        table.add_row(row.name, row.type, shape, _number(row.parameters), _number(row.multiply_adds))
    total = totals(rows, net)
    table.add_section()
    table.add_row("total", "", "", f"{total['parameters']:,}", f"{total['multiply_adds']:,}")
    if total["trainable_parameters"] != total["parameters"]:
        table.add_row("trained", "", "", f"{total['trainable_parameters']:,}", "")
    return table


def _number(value: int) -> str:
    return f"{value:,}" if value else ""
