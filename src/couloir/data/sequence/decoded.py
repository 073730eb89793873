"""Clips of videos out of pictures: in memory, or decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.image_size import ImageSize
from couloir.data.decode import Reading
from couloir.data.folder import FileSource
from couloir.data.frames import Frames
from couloir.data.sequence.stretches import Stretch, Stretches
from couloir.data.splits import Indices


class FileStretch(Stretch):
    """The frames of clips, decoded when they are asked for; the array is not there.

    Args:
        pictures: cuts the middle of each frame.
        starts: where the frames of each clip begin, (N,).
        frames: of each clip.
    """

    def __init__(self, pictures: FileSource, starts: NDArray[Any], frames: int) -> None:
        super().__init__(torch.empty(0, pictures.channels, *pictures.size), starts, frames)  # their shape alone
        self.pictures = pictures

    def take(self, indices: Tensor, shift: int = 0) -> Tensor:
        """The frames of some clips, uint8 (B, T, C, H, W).

        Raises:
            CouloirError: a picture cannot be decoded.
        """
        steps = torch.arange(int(self.lengths[0]))
        wanted = (self.starts[indices.cpu()][:, None] + steps).flatten()
        return self.pictures.fetch(wanted).unflatten(0, (len(indices), len(steps)))  # type: ignore[no-untyped-call, no-any-return]

    def to(self, device: torch.device) -> None:
        """Files stay where they are."""


class Clips(Stretches):
    """Clips of as many frames each.

    Args:
        clips: the pictures of each clip, in order.
        image_size: of the frames.
        resize: what a picture is scaled to cover before its middle is cut; None: `image_size`.
        reading: how pixels are made of files.
        targets: labels, (N,).
        folders: where each video lies.
        in_memory: whether all are decoded now, once.
    """

    measured = 2000

    def __init__(
        self,
        clips: Sequence[Sequence[Path]],
        image_size: ImageSize,
        resize: ImageSize | None,
        reading: Reading,
        targets: NDArray[Any],
        folders: list[Path],
        in_memory: bool,
    ) -> None:
        files = [path for clip in clips for path in clip]
        self.pictures = FileSource([(path, 0) for path in files], image_size, reading.channels,
                                   Frames(files, resize or image_size, reading))  # fmt: skip
        frames = len(clips[0])
        starts = np.arange(len(clips)) * frames
        if in_memory:
            stretch = Stretch(self.pictures.fetch(torch.arange(len(files))), starts, frames)
        else:
            stretch = FileStretch(self.pictures, starts, frames)
        super().__init__({"video": stretch}, targets, folders)

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of the pictures, or their names and sizes where they are too many to read through."""
        frames = int(self.input.lengths[0])
        numbers = (np.asarray(indices)[:, None] * frames + np.arange(frames)).reshape(-1)
        self.pictures.hash_into(add, numbers)

    def bytes_of(self, number: int) -> bytes:
        """The pixels of one clip."""
        clip = self.input.take(torch.tensor([number]))
        assert isinstance(clip, Tensor)
        return clip.cpu().numpy().tobytes()
