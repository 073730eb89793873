"""Where raw samples come from: an array in memory, or files that are decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.image_size import ImageSize, size_of
from couloir.data.columns import Described
from couloir.data.encoding import Encoding
from couloir.data.skipped import Skipped
from couloir.data.splits import Indices
from couloir.data.windows import CutsWindows

CHUNK = 4096
"""Samples that are converted or hashed at a time, so that memory does not grow with the set."""
LARGE = 1 << 24
"""Bytes of images from which on it is worth it to give up those that nobody asks for."""


class Source(Protocol):
    """Raw samples by index, and their targets: labels (N,), or labels or values (N, K)."""

    targets: NDArray[Any]
    paths: list[Path]
    """The files that the samples come from, one each; empty where they do not have one each."""
    measured: int
    """Samples, evenly spaced, that the mean and deviation are computed from; for smaller sets that is all of them."""

    def fetch(self, indices: Tensor) -> Any:
        """The raw inputs of some samples: uint8 (B, C, H, W) or float32 (B, F); of sequences all fields by name."""

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """Add the bytes of some samples, in order."""

    def to(self, device: torch.device) -> None:
        """Keep the samples on a device, where they are in memory at all."""


@runtime_checkable
class Cuttable(Source, Protocol):
    """Samples that are cut out of something larger, each time anew."""

    windows: CutsWindows | None
    """Where training samples are cut, unless an augmentation says it; None: in the middle."""

    @property
    def problem(self) -> str | None:
        """What the user should know about, though it stops nothing."""

    def settle(self) -> None:
        """Wait until what is kept on disk is there; called once nobody cuts any more."""

    def empty(self, count: int) -> Tensor:
        """Room for `count` samples, uint8 (B, ..., H, W, C)."""

    def cut(self, indices: Sequence[int], out: Tensor, windows: CutsWindows | None = None, seed: int = 0) -> None:
        """Cut some samples into `out`: by windows that follow from the seed, or always the same ones."""


class ArraySource:
    """Samples that fit into memory, as one tensor on the device that trains.

    Args:
        inputs: uint8 images (N, C, H, W) or float32 tables (N, F).
        targets: labels (N,) int64, or labels or values (N, K) float32.
        image_size: what images are resized to, once, each side by its own factor; None leaves them.
    """

    measured = 50_000

    def __init__(self, inputs: NDArray[Any], targets: NDArray[Any], image_size: ImageSize | None = None) -> None:
        self.inputs = torch.from_numpy(np.ascontiguousarray(inputs))
        self._places: Tensor | None = None
        """Where each sample is in the tensor, (N,), if some are not kept; -1: it is one of these."""
        self.targets = targets
        self.paths: list[Path] = []
        self.lines: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        """The lines of a table's file that the samples stand on, (N,); empty where there are none."""
        self.sizes: NDArray[np.int64] | None = None
        """Height and width of each image, (N, 2), where images of several sizes fill the tensor from its top left."""
        if self.inputs.ndim == 4 and image_size is not None and self.inputs.shape[-2:] != size_of(image_size):
            self.inputs = torch.cat([resized(part, image_size) for part in torch.split(self.inputs, CHUNK)])

    def fetch(self, indices: Tensor) -> Tensor:
        """An index into the tensor, on its device."""
        if self._places is not None:
            indices = self._places[indices.to(self._places.device)]
        return self.inputs.index_select(0, indices.to(self.inputs.device))  # whole rows: a seventh of the time of [...]

    def keep(self, indices: Indices) -> None:
        """Give up the images of all but some samples, which keep their numbers.

        Args:
            indices: the samples that are still asked for, ascending.
        """
        self._places = torch.full((len(self.targets),), -1)
        self._places[torch.from_numpy(indices)] = torch.arange(len(indices))
        self.inputs = self.inputs[torch.from_numpy(indices)]

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of the tensor's rows."""
        for start in range(0, len(indices), CHUNK):
            part = torch.from_numpy(indices[start : start + CHUNK])
            add(self.fetch(part).cpu().numpy().tobytes())

    def to(self, device: torch.device) -> None:
        """Move the tensor."""
        self.inputs = self.inputs.to(device)
        self._places = None if self._places is None else self._places.to(device)


def give_up_others(asked: Iterable[tuple[Source, Indices]]) -> None:
    """Free the memory of images that nobody asks for, where they are most of a large set.

    Args:
        asked: sources, and the samples of each that are asked for; a source may come several times.
    """
    each = list(asked)
    for source in {id(source): source for source, _ in each}.values():
        if type(source) is not ArraySource or source.inputs.ndim != 4 or source.inputs.nbytes < LARGE:
            continue
        kept = np.unique(np.concatenate([indices for other, indices in each if other is source]))
        if 2 * len(kept) <= len(source.targets):
            source.keep(kept)


def name_in(source: Source, index: int) -> str:
    """What a sample is called: its file, or its shard and the member of it; "" where it has no name."""
    named = getattr(source, "name", None)
    if named is not None:
        return str(named(index))
    return str(source.paths[index]) if source.paths else ""


def resized(images: Tensor, image_size: ImageSize) -> Tensor:
    """uint8 images (B, C, H, W) at another size: bilinear, antialiased where they shrink."""
    scaled = F.interpolate(images.float(), size_of(image_size), mode="bilinear", antialias=True)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


@dataclass
class Loaded:
    """What a data set's files hold, before it is split.

    Attributes:
        train: the samples to train on; validation and test are held out of them where they have no source of their own.
        val: the validation samples, if the set brings them.
        test: the test samples, if the set brings them.
        classes: the classes' names, in the order of the labels; empty for regression.
        skipped: what was left out, because it cannot be used.
        targets: the names of a regression's values, where they have names.
        encoding: of a table, what its columns become.
        columns: of a table, what each column is.
        notes: what the console says of the files.
        groups: a name or a number for each training sample, (N,): samples of one group stay in one split; None: each
            sample may go anywhere.
        facts: of series, what new ones must fit: plain values for the checkpoint.
        vocabulary: of texts, what the tokens stand for, a `couloir.data.sequence.vocabulary.Vocabulary`.
        held_out: the training samples as validation and test see them where they are held out of these: whole images
            instead of windows, say; None: as in training.
        by_number: whether a sample is held out by a hash of its number, and not so that each class keeps its share.
    """

    train: Source
    val: Source | None = None
    test: Source | None = None
    classes: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    encoding: Encoding | None = None
    columns: list[Described] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    groups: NDArray[Any] | None = None
    held_out: Source | None = None
    vocabulary: Any = None
    facts: dict[str, Any] = field(default_factory=dict)
    by_number: bool = False


Load = Callable[[], Loaded]
