"""What was computed of a split's samples once: kept in memory and, where asked for, on disk for later runs.

On disk a split's values are a set among the caches of photographs (`couloir.data.cache`), and are evicted like those.
Their file is written under another name and renamed, and carries a checksum: a file that is torn or was changed is as
good as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.cache import make_room
from couloir.data.splits import Indices

DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)}


class Kept:
    """A source of samples that are computed when the first of them is asked for.

    Args:
        compute: gives all samples of the split, in order, (N, ...).
        targets: their targets, (N,) or (N, K).
    """

    measured = 0

    def __init__(self, compute: Callable[[], Tensor], targets: NDArray[Any]) -> None:
        self.targets, self.paths = targets, list[Path]()
        self._compute = compute
        self._values: Tensor | None = None
        self._device = torch.device("cpu")

    def fetch(self, indices: Tensor) -> Tensor:
        """Some samples, (B, ...)."""
        if self._values is None:
            self._values = self._compute().to(self._device)
        return self._values.index_select(0, indices.to(self._device))

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of some samples, in order."""
        add(self.fetch(torch.from_numpy(indices)).cpu().view(torch.uint8).numpy().tobytes())

    def to(self, device: torch.device) -> None:
        """Keep the samples on a device."""
        self._device = device
        if self._values is not None:
            self._values = self._values.to(device)


def read_values(folder: Path, key: str) -> Tensor | None:
    """Values from the caches; None where they are not there, or not whole.

    Args:
        folder: where the caches of all sets are.
        key: 32 hexadecimal digits, which everything follows into that the values depend on.
    """
    own = folder / key
    try:
        said = json.loads((own / "index").read_text())
        content = bytearray((own / "frames").read_bytes())
        if hashlib.sha256(content).hexdigest() != said["sha256"]:
            return None
        values = torch.frombuffer(content, dtype=DTYPES[said["dtype"]]).view(said["shape"])
        os.utime(own / "index")  # the newest use: other sets are evicted first
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    return values


def write_values(folder: Path, key: str, values: Tensor, limit: float) -> str | None:
    """Keep values among the caches, as far as there is room.

    Args:
        folder: where the caches of all sets are.
        key: of `read_values`.
        values: float, on the CPU.
        limit: bytes that all caches in the folder may take together.

    Returns:
        why they are not kept; None: they are.
    """
    content = values.contiguous().view(-1).view(torch.uint8).numpy().data
    said = {"sha256": hashlib.sha256(content).hexdigest(), "dtype": str(values.dtype), "shape": list(values.shape)}
    own, end = folder / key, f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not make_room(folder, own, len(content), limit):
                return f"the caches in {folder} would take more than {limit / 2**30:g} GiB"
            own.mkdir(exist_ok=True)
            for name, write in (("frames", content), ("index", json.dumps(said).encode())):
                part = own / f"{name}{end}"
                try:
                    part.write_bytes(write)
                    part.replace(own / name)
                finally:
                    part.unlink(missing_ok=True)
    except (OSError, NotImplementedError) as error:
        return f"the cache in {folder} cannot be written ({getattr(error, 'strerror', None) or error})"
    return None
