"""Videos that a finished run has never seen, each a folder of pictures; see `couloir.data.unseen`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.config.image_size import ImageSize, size_of
from couloir.data.decode import Reading
from couloir.data.folder import FileSource
from couloir.data.frames import Frames
from couloir.data.sequence.clips import REPEAT, by_folder, chosen_frames
from couloir.data.skipped import Skipped
from couloir.data.unseen import Raw
from couloir.errors import CouloirError


class UnseenVideos:
    """Clips of videos; their frames are decoded, chosen and cut as those of the validation are.

    Args:
        files: the pictures of all videos; those of one folder are the frames of one.
        labels: of each picture, (P,), -1 where the class is not known; None: of none it is known.
        reading: how pixels are made of them.
        image_size: of the frames.
        resize: what a picture is scaled to cover before; None: `image_size`.
        frames: of a clip.
        take: which ones, as `couloir.data.sequence.clips.chosen_frames` has it.
        short: `repeat`, or a video of fewer frames is not answered.

    Attributes:
        paths: the folders of the videos.
    """

    def __init__(
        self,
        files: Sequence[Path],
        labels: NDArray[np.int64] | None,
        reading: Reading,
        image_size: ImageSize,
        resize: ImageSize | None,
        frames: int,
        take: str,
        short: str,
    ) -> None:
        found = by_folder(files)
        self.paths = [folder for folder, _ in found]
        self._files = [pictures for _, pictures in found]
        self._reading, self._size, self._resize = reading, image_size, resize
        self._frames, self._take, self._short = frames, take, short
        self.targets: NDArray[np.int64] | None = None
        self.known = np.zeros(len(found), dtype=bool)
        if labels is not None:
            of = dict(zip((file.parent for file in files), labels.tolist(), strict=True))
            self.targets = np.array([of[folder] for folder in self.paths], dtype=np.int64)
            self.known = self.targets >= 0
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """All videos in order, uint8 (B, T, C, H, W)."""
        for start in range(0, len(self.paths), batch_size):
            places = range(start, min(start + batch_size, len(self.paths)))
            x = torch.zeros(len(places), self._frames, self._reading.channels, *size_of(self._size), dtype=torch.uint8)
            failed: dict[int, CouloirError] = {}
            for number, place in enumerate(places):
                try:
                    x[number] = self._clip(place)
                except CouloirError as error:
                    failed[number] = error
            yield Raw(x, failed)

    def _clip(self, place: int) -> torch.Tensor:
        pictures, frames = self._files[place], self._frames
        if len(pictures) < frames and self._short != REPEAT:
            raise CouloirError(
                f"{self.paths[place].name} has {len(pictures)} frame{'s' * (len(pictures) != 1)}, and the run takes "
                f"clips of {frames}.",
                place=str(self.paths[place]),
            )
        chosen = [pictures[frame] for frame in chosen_frames(len(pictures), frames, self._take, self._short)]
        source = FileSource([(path, 0) for path in chosen], self._size, self._reading.channels,
                            Frames(chosen, self._resize or self._size, self._reading))  # fmt: skip
        return source.fetch(torch.arange(frames))
