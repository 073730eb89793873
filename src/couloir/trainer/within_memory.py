"""Room for a network: asked for before its weights are touched, since a system that overcommits kills who does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from couloir.errors import CouloirError
from couloir.machine import available_memory

LOOKED_AT = 1 << 26
"""Bytes of a tensor that is compared with the memory that is left; a look takes a part of a millisecond."""
FACTORIES = frozenset((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn))


class WithinMemory(TorchFunctionMode):
    """While a network is built in its scope, a tensor that cannot fit is refused."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch instead of each of its functions.

        Raises:
            CouloirError: a tensor is larger than the memory that is left.
        """
        if func in FACTORIES:
            _check(args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _check(args: Sequence[Any], keys: dict[str, Any]) -> None:
    shape = keys.get("size", args[0] if args and isinstance(args[0], list | tuple | torch.Size) else args)
    numbers = [side for side in shape if isinstance(side, int)] if isinstance(shape, list | tuple | torch.Size) else []
    size = 4 * math.prod(numbers)
    if size >= LOOKED_AT and str(keys.get("device")) != "meta" and torch.get_default_device().type != "meta":
        left = available_memory()
        if size > left:
            raise CouloirError(
                f"The network does not fit into memory: a tensor of {' x '.join(map(str, numbers))} numbers takes "
                f"{size / 2**30:,.1f} GiB, and {left / 2**30:,.1f} GiB are left.",
                next_step="a smaller network or smaller images; `couloir summary` counts the weights",
            )
