"""Losses that do to their process what no loss should; the sweeps of the tests find them as modules of a project."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F


class Strange:
    """Cross-entropy, after something strange in the first call.

    Args:
        what: what it does: `leaks`, `kill`, `memory`, `exit`, or nothing (also `calm`).
    """

    def __init__(self, what: str = "nothing") -> None:
        self.what: str | None = what

    def __call__(self, y_hat: Tensor, y: Tensor) -> Tensor:
        what, self.what = self.what, None
        if what is not None:
            getattr(self, f"_{what}")()
        return F.cross_entropy(y_hat, y)

    def _calm(self) -> None:
        pass

    def _nothing(self) -> None:
        pass

    def _marks(self) -> None:
        Path("mark").write_text(os.environ["MARK"])

    def _leaks(self) -> None:
        found = [name for name in ("LEAKED",) if name in os.environ] + [n for n in ("leaked",) if hasattr(sys, n)]
        Path(f"leaks_{os.getpid()}").write_text(",".join(found))
        os.environ["LEAKED"] = "yes"
        leaky: Any = sys
        leaky.leaked = True

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _memory(self) -> None:
        raise MemoryError("Unable to allocate 3.00 TiB")

    def _hog(self) -> None:
        (Path(os.environ["SMALL_ROOM"]) / "cgroup.procs").write_text(str(os.getpid()))
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 20) * 8))

    def _exit(self) -> None:
        os._exit(7)
