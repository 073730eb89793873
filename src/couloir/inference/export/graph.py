"""What is exported: a run's network, with the preparation of its inputs and the task's answer where that is asked for.

Nothing of the preparation depends on the size of a batch, so that a graph which was traced with two samples takes any
number of them.
"""

from __future__ import annotations

from collections.abc import Callable
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor, nn

from couloir.data.encoding import Encoding
from couloir.data.standardise import in_order
from couloir.errors import CouloirError, causes

TRACED = 2
"""Samples that a graph is traced with."""
FIXED = "Constraints violated (batch)"
"""What torch.export says where the number of samples became a constant."""
REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What torch raises for a network that it cannot trace or translate."""


class PreparedImages(nn.Module):
    """Images as the data reads them, standardised: uint8 or float32 (B, C, H, W) -> float32 of the same shape.

    Args:
        mean: the channels' means, images in [0, 1].
        std: their deviations.
        raw: the type of the images; uint8 counts as [0, 1] before it is standardised.
        order: of the pixels, (H W,), where the network gets them in another one; None: it does not.
    """

    def __init__(self, mean: list[float], std: list[float], raw: torch.dtype, order: Tensor | None = None) -> None:
        super().__init__()
        exact = 255.0 if raw == torch.uint8 else 1.0
        wide = torch.tensor(std, dtype=torch.float64)
        # (x / 255 - mean) / std = x * scale + shift, as `couloir.data.standardise` has it.
        self.register_buffer("scale", (1 / (exact * wide)).float().view(-1, 1, 1))
        self.register_buffer("shift", (-torch.tensor(mean, dtype=torch.float64) / wide).float().view(-1, 1, 1))
        self.register_buffer("order", order)
        self.scale: Tensor
        self.shift: Tensor
        self.order: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """One multiplication and one addition a pixel."""
        x = x.float() * self.scale + self.shift
        return x if self.order is None else in_order(x, self.order)


class PreparedSteps(nn.Module):
    """A series as the data reads it, standardised: float32 (B, T, F), or uint8 (B, T, C, H, W) of videos, which become
    (B, C, T, H, W).

    Args:
        mean: the channels' means, frames in [0, 1].
        std: their deviations.
        video: whether steps are frames.
        raw: the type of the numbers.
    """

    def __init__(self, mean: list[float], std: list[float], video: bool, raw: torch.dtype) -> None:
        super().__init__()
        shape = (-1, 1, 1) if video else (-1,)
        self.video, self.exact = video, 255.0 if raw == torch.uint8 else 1.0
        # In float64, as the run does it: of a year, the mean leaves few digits.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).view(shape))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64).view(shape))
        self.mean: Tensor
        self.std: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """A subtraction and a division for each number."""
        x = ((x.float() / self.exact - self.mean) / self.std).float()
        return x.transpose(1, 2) if self.video else x


class PreparedRows(nn.Module):
    """Rows of a table as `couloir.data.features` makes them, encoded and standardised: float32 (B, C) -> (B, F).

    Args:
        mean: the inputs' means, less their columns' offsets.
        std: their deviations.
        encoding: what the columns become; None: rows are numbers already.
    """

    def __init__(self, mean: list[float], std: list[float], encoding: Encoding | None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self.mean: Tensor
        self.std: Tensor
        self.encode: Callable[[Tensor], Tensor] | None = None
        if encoding is not None and not encoding.is_identity:
            encoding(torch.zeros(1, encoding.width))  # makes its constants now, and not while a graph is traced
            self.encode = encoding

    def forward(self, x: Tensor) -> Tensor:
        """Gaps filled, categories one-hot, then standardised."""
        x = x if self.encode is None else self.encode(x)
        return (x - self.mean) / self.std


class Graph(nn.Module):
    """A network between the data's own numbers and the task's answer, or alone.

    Args:
        net: the network, in evaluation mode.
        prepare: from what the data reads to what the network takes; None: the graph takes the latter.
        answer: from the network's output to what it means; None: the graph returns the output.
    """

    def __init__(
        self, net: nn.Module, prepare: nn.Module | None = None, answer: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.net, self.prepare = net, prepare
        self.answer: Callable[[Tensor], Tensor] | None = answer

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        output = self.net(x if self.prepare is None else self.prepare(x))
        return output if self.answer is None else self.answer(output)


def traced(
    graph: nn.Module,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    any_size: bool = False,
    beside: tuple[torch.dtype, ...] = (),
    any_length: bool = False,
) -> Any:
    """The program of a graph for any number of samples, a `torch.export.ExportedProgram`.

    It is traced with zeros: a program keeps the samples that it was traced with.

    Args:
        graph: in evaluation mode, on the CPU.
        shape: of one sample.
        dtype: of the samples.
        any_size: whether it takes images of any height and width as well.
        beside: the types of further inputs, one number a sample each, (B,).
        any_length: whether it takes sequences of any number of steps as well.

    Raises:
        CouloirError: what the network does cannot be traced, or depends on the number of samples.
    """
    example = (torch.zeros((TRACED, *shape), dtype=dtype), *(torch.zeros(TRACED, dtype=kind) for kind in beside))
    # `DYNAMIC`, and no name: what follows from a height, such as that it is even, then need not be stated.
    free: dict[int, Any] = dict.fromkeys((2, 3), torch.export.Dim.DYNAMIC) if any_size else {}
    free |= {1: torch.export.Dim.DYNAMIC} if any_length else {}
    batch = torch.export.Dim("batch", min=1)
    sizes: tuple[dict[int, Any], ...] = ({0: batch, **free}, *({0: batch} for _ in beside))
    try:
        with torch.no_grad():
            program = torch.export.export(graph, example, dynamic_shapes=sizes)
    except REFUSALS as error:
        raise refused(error, graph, "torch.export") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    return program


class Decoder(nn.Module):
    """A generator whose images lie in [0, 1]: codes (B, K), and classes (B,) where it is told some -> (B, C, H, W).

    Args:
        generator: codes, and classes where it is told some -> images in [-1, 1]; in evaluation mode.
        conditional: whether it is told a class.
    """

    def __init__(self, generator: nn.Module, conditional: bool) -> None:
        super().__init__()
        self.net, self.conditional = generator, conditional

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images of some codes."""
        made: Tensor = self.net(codes, labels) if self.conditional else self.net(codes)
        return ((made + 1) / 2).clamp(0, 1)


def refused(error: Exception, graph: nn.Module, exporter: str) -> CouloirError:
    """What is said of a network that an exporter does not take: which layer it is, and the exporter's own reason."""
    deepest = error
    for cause in causes(error):
        deepest = cause if isinstance(cause, Exception) else deepest
    if FIXED in str(deepest):
        return CouloirError(
            "The network can be traced for one number of samples alone: it takes that number as a fixed one.",
            next_step="in its forward, write x.shape[0], or flatten(1), in place of len(x) and of numbers",
        )
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    reason = lines[0] if lines else type(deepest).__name__
    layer = next((name for cause in causes(error) if (name := _layer(cause, graph))), "")
    where = f"its layer {layer}" if layer else "it"
    return CouloirError(
        f"{exporter} does not take this network: {where} does what cannot be exported. {reason}",
        next_step="--to safetensors writes the weights of any network; COULOIR_TRACEBACK=1 shows the whole reason",
    )


def _layer(error: BaseException, graph: nn.Module) -> str:
    """The innermost layer that was at work when an error was raised, by its name in the network; "" if not known."""
    names = {id(module): name.removeprefix("net.") for name, module in graph.named_modules()}
    found = ""
    for frame, _ in walk_tb(error.__traceback__):
        at_work, node = frame.f_locals.get("self"), frame.f_locals.get("node")
        found = names.get(id(at_work), found)
        if isinstance(node, torch.fx.Node) and node.meta.get("nn_module_stack"):
            found = str(list(node.meta["nn_module_stack"].values())[-1][0]).removeprefix("net.") or found
    return found
