"""Blocks in a row, whose activations may be computed twice rather than kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from couloir.layer_kinds import statistics_kept


class Stage(nn.Sequential):
    """Blocks in a row.

    With `gradient_checkpointing` only the blocks' inputs are kept for the backward pass, and each block is run again
    when its gradient is due: a third more time for the memory of one block (Chen et al., 2016, Training Deep Nets with
    Sublinear Memory Cost). Outputs, gradients and running statistics are the same either way.

    Args:
        blocks: modules that take and give one tensor.
        gradient_checkpointing: whether to run them again.
    """

    def __init__(self, *blocks: nn.Module, gradient_checkpointing: bool = False) -> None:
        super().__init__(*blocks)
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, x: Tensor) -> Tensor:
        """The blocks, one after the other."""
        for block in self:
            x = recomputed(block, block, x) if self.gradient_checkpointing and torch.is_grad_enabled() else block(x)
        return x


def recomputed(block: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What `run`, the block or a part of it, gives; what it keeps for the backward pass is its input alone."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), statistics_kept(block)

    out: Tensor = checkpoint(run, x, use_reentrant=False, context_fn=contexts)
    return out
